// What stands on every page: its place among the others, the theme, the language, and failures in words.

import { keep, kept } from "./state.js";
import { h, svg } from "./view.js";
import { language, languages, say, useLanguage } from "./words.js";

// The pages there are, in the order of the header; a new page is one line here.
const PAGES = [
  { path: "/", name: "explorer" },
  { path: "/desk/", name: "desk" },
  { path: "/inside/", name: "inside" },
  { path: "/articles/", name: "articles" },
  { path: "/detect/", name: "detect" },
  { path: "/music/", name: "music" },
];

const THEMES = ["", "light", "dark"]; // "": as the system has it

const ICONS = {
  "": [["circle", { cx: 10, cy: 10, r: 6.5 }], ["path", { d: "M10 3.5a6.5 6.5 0 0 1 0 13z", fill: "currentColor" }]],
  light: [["circle", { cx: 10, cy: 10, r: 3.6 }], ["path", { d: "M10 1.5v2.2M10 16.3v2.2M1.5 10h2.2M16.3 10h2.2M4 4l1.6 1.6M14.4 14.4 16 16M16 4l-1.6 1.6M5.6 14.4 4 16" }]],
  dark: [["path", { d: "M16 12.2A6.8 6.8 0 0 1 7.8 4a6.8 6.8 0 1 0 8.2 8.2z" }]],
};

function themeButton() {
  const button = h("button", { type: "button", class: "quiet" });
  const draw = (theme) => {
    button.replaceChildren(svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, ...ICONS[theme].map(([tag, a]) => svg(tag, a))));
    button.title = say(`theme_${theme || "system"}`);
    button.setAttribute("aria-label", button.title);
  };
  let theme = THEMES.includes(kept("theme")) ? kept("theme") : "";
  draw(theme);
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    keep("theme", theme || null);
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    draw(theme);
    dispatchEvent(new Event("themechange"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));
  return button;
}

function languageButton() {
  const other = languages().find((name) => name !== language());
  const button = h("button", { type: "button", class: "quiet", lang: other, onclick: () => { useLanguage(other); location.reload(); } }, say("otherLanguage"));
  button.setAttribute("aria-label", say("otherLanguageTitle"));
  return button;
}

function header(current) {
  const mark = svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" },
    svg("rect", { x: 1, y: 2.5, width: 18, height: 3.6, rx: 1.2 }), svg("rect", { x: 1, y: 8.2, width: 11.5, height: 3.6, rx: 1.2, opacity: 0.75 }), svg("rect", { x: 1, y: 13.9, width: 5.5, height: 3.6, rx: 1.2, opacity: 0.5 }));
  const links = PAGES.map((page) => h("a", { href: page.path, "aria-current": page.name === current ? "page" : null }, say(`page_${page.name}`)));
  return h("header", { class: "site" },
    h("div", {}, h("a", { class: "mark", href: "/", "aria-label": "gpt2lab" }, mark, h("span", {}, "gpt2lab")), h("nav", { "aria-label": say("pages") }, ...links), h("div", { class: "side" }, languageButton(), themeButton())));
}

// On a narrow screen the pages' names are wider than it: the current one comes to the middle.
function showCurrent(nav) {
  const now = nav.querySelector("[aria-current]");
  if (now) nav.scrollLeft = now.offsetLeft - nav.offsetLeft - (nav.clientWidth - now.offsetWidth) / 2;
}

// Puts the header before the page, and words of the reader's language where the page has data-say.
export function begin(page) {
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
  document.body.prepend(header(page));
  showCurrent(document.querySelector(".site nav"));
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
  for (const element of document.querySelectorAll("[data-placeholder]")) element.placeholder = say(element.dataset.placeholder);
  document.title = `${say(`page_${page}`)} · gpt2lab`;
}

// Shows a failure above the page with a way to try again; null takes it away.
export function fail(error, again) {
  document.querySelector(".failure")?.remove();
  if (!error || error.name === "AbortError") return;
  const box = h("div", { class: "failure", role: "alert" }, h("span", {}, error.message));
  if (again) box.append(h("button", { type: "button", class: "quiet", onclick: () => { box.remove(); again(); } }, say("again")));
  document.querySelector("main").prepend(box);
}

// A menu of the server's models; `changed(name)` is called with the one that is chosen.
export function modelMenu(models, chosen, changed) {
  const menu = h("select", { "aria-label": say("model"), onchange: () => changed(menu.value) }, ...models.map((m) => h("option", { value: m.id }, m.id)));
  menu.value = models.some((m) => m.id === chosen) ? chosen : models[0].id;
  return menu;
}
