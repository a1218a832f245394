"use strict";
// Draws what page.py put into the page: for each text its verdict, GLTR's colours and three charts. Texts are only set
// as textContent.
const data = JSON.parse(document.getElementById("data").textContent);

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "text"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function bars(title, labels, counts, classes = []) {
  const width = 240, height = 110, most = Math.max(1, ...counts), step = width / counts.length;
  const svg = make("svg", { viewBox: `0 0 ${width} ${height + 18}`, role: "img", "aria-label": title });
  counts.forEach((count, i) => {
    const tall = (count / most) * (height - 14);
    const bar = make("rect", { x: i * step + 1, y: height - tall, width: step - 2, height: tall });
    if (classes[i]) bar.style.fill = `var(--${classes[i]})`;
    svg.append(bar, make("text", { x: (i + 0.5) * step, y: height - tall - 3, "text-anchor": "middle" }, String(count)));
    svg.append(make("text", { x: (i + 0.5) * step, y: height + 13, "text-anchor": "middle" }, labels[i]));
  });
  return make("figure", {}, svg, make("figcaption", {}, title));
}

function histogram(title, values, low, high, bins) {
  const counts = new Array(bins).fill(0);
  for (const v of values) counts[Math.min(bins - 1, Math.max(0, Math.floor(((v - low) / (high - low)) * bins)))] += 1;
  const labels = counts.map((_, i) => (low + ((high - low) * i) / bins).toFixed(1));
  return bars(title, labels, counts);
}

const tip = make("div", { id: "tip", hidden: "" });
document.body.append(tip);

function showTip(token, node) {
  if (token.rank === undefined) return;
  tip.replaceChildren(
    make("div", {}, `rank ${token.rank + 1}, p ${token.p}, frac(p) ${token.share}`),
    ...token.top.map(([text, p]) => {
      const bar = make("span", { class: "bar" });
      bar.style.width = `${Math.round(60 * p)}px`;
      return make("div", {}, bar, `${JSON.stringify(text)} ${p}`);
    }),
  );
  tip.hidden = false;
  const place = node.getBoundingClientRect();
  const left = Math.min(place.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(8, left) + scrollX}px`;
  tip.style.top = `${place.bottom + scrollY + 4}px`;
}

function section(item) {
  const about = item.about, tokens = item.tokens.filter((t) => t.rank !== undefined);
  const out = make("section", {}, make("h2", {}, `${about.name} (${about.words} words)`));
  if (about.sentence) out.append(make("p", { class: "verdict" }, about.sentence));
  const held = about.held_out;
  if (held && held.share_of_machine_texts !== null && about.probability !== null)
    out.append(make("p", { class: "quiet" }, `Of ${held.texts} texts of about ${held.words} words that the detector had `
      + `not learnt from and put there, ${Math.round(100 * held.share_of_machine_texts)} % were machine-written.`));
  const bounds = data.bounds.map((b) => make("input", { type: "number", min: 1, value: b, "aria-label": "bound" }));
  const mode = make("select", { "aria-label": "colour by" }, make("option", { value: "rank" }, "rank"),
    make("option", { value: "share" }, "frac(p)"));
  const text = make("div", { class: "text" }), charts = make("div", { class: "charts" });
  const spans = item.tokens.map((token) => {
    const node = make("span", { tabindex: "0" }, token.text);
    for (const event of ["mouseenter", "focus"]) node.addEventListener(event, () => showTip(token, node));
    for (const event of ["mouseleave", "blur"]) node.addEventListener(event, () => { tip.hidden = true; });
    text.append(token.before, node);
    return node;
  });
  text.append(item.after);
  function draw() {
    const limits = bounds.map((b) => Number(b.value)), counts = new Array(limits.length + 1).fill(0);
    item.tokens.forEach((token, i) => {
      if (token.rank === undefined) return;
      const byRank = limits.filter((b) => token.rank >= b).length;
      const byShare = Math.min(3, Math.floor((1 - token.share) * 4));
      counts[byRank] += 1;
      spans[i].className = `r${mode.value === "rank" ? byRank : byShare}`;
    });
    charts.replaceChildren(
      bars("tokens by rank", [...limits.map((b) => `< ${b}`), "rest"], counts, ["c0", "c1", "c2", "c3"]),
      histogram("frac(p): probability over the likeliest token's", tokens.map((t) => t.share), 0, 1, 10),
      histogram("entropy of the ten likeliest", tokens.filter((t) => "entropy" in t).map((t) => t.entropy), 0, 2.4, 8),
    );
  }
  for (const control of [...bounds, mode]) control.addEventListener("input", draw);
  out.append(make("div", { class: "controls" }, "Colour by", mode, "bounds", ...bounds), text, charts, methods(about));
  draw();
  return out;
}

function methods(about) {
  const rows = Object.entries(about.methods).map(([name, m]) => make("tr", {},
    make("td", {}, name), make("td", { class: "n" }, m.value === null ? "-" : m.value.toFixed(3)),
    make("td", { class: "quiet" }, m.human_percentile === undefined ? ""
      : `above ${Math.round(100 * m.human_percentile)} % of human texts of this length`)));
  return make("table", {}, ...rows);
}

document.getElementById("texts").append(...data.texts.map(section));
document.getElementById("about").textContent = data.trained === null
  ? "There is no detector for this model; these are its measurements."
  : `The detector was trained against ${JSON.stringify(data.trained)}. A probability assumes as many machine texts as `
    + "human ones; of other writing and other machines it knows nothing. It is evidence, no proof.";
