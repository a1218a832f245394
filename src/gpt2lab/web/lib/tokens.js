// A text whose tokens can be chosen one by one, and a list of what was expected in the place of one.

import { h, percent, shownToken } from "./view.js";
import { say } from "./words.js";

// `parts`: buttons, and texts between them. Arrow keys move; `chosen(at)` is called with the button that they come to.
// Returns { element, select(at) }.
export function tokenText(parts, chosen) {
  const buttons = parts.filter((part) => typeof part !== "string");
  const element = h("div", { class: "tokens sheet", role: "group", "aria-label": say("arrowHint"), onkeydown: (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const at = buttons.indexOf(document.activeElement);
    if (!step || at < 0 || !buttons[at + step]) return;
    event.preventDefault();
    chosen(at + step);
    buttons[at + step].focus();
  } }, ...parts);
  const select = (at) => buttons.forEach((button, i) => { button.setAttribute("aria-pressed", String(i === at)); button.tabIndex = i === at ? 0 : -1; });
  return { element, select };
}

// `guesses`: [text, probability], likeliest first; the one that equals `right` is marked.
export function guessList(guesses, right) {
  const largest = guesses[0][1];
  return h("ol", { class: "guesses" }, ...guesses.map(([text, probability]) => {
    const fill = h("i");
    fill.style.width = `${(100 * probability) / largest}%`;
    return h("li", { class: text === right ? "right" : "" }, h("span", { class: "token" }, ...shownToken(text)), h("span", { class: "track" }, fill), h("span", { class: "value" }, percent(probability)));
  }));
}
