// One measured text: the verdict with what it is worth, GLTR's colours, its histograms, and every method's number.

import { guessList, tokenText } from "../lib/tokens.js";
import { h, percent, shownToken } from "../lib/view.js";
import { grouped, say } from "../lib/words.js";
import { bars, histogram } from "./charts.js";

const MODES = ["rank", "share"];
const SHARES = [0.75, 0.5, 0.25]; // frac(p) from which on a token has the first, second, third colour
const MOST_ENTROPY = Math.log(10); // of ten tokens
const CERTAIN = 0.99; // nothing that was measured says more

// Draws into `root`; `mode` is what is coloured by at first, `changed(mode)` is called when the reader chooses another.
export function drawResult(root, data, mode, changed) {
  root.replaceChildren(verdictPart(data.about), ...colourPart(data, MODES.includes(mode) ? mode : "rank", changed), methodsPart(data.about));
}

// ---- the verdict ----------------------------------------------------------------------------------------------

function verdictPart(about) {
  const call = about.detector === null ? "none" : about.verdict.replace(" ", "_");
  const lines = [];
  if (about.probability !== null) lines.push(say("saidProbability", { p: shownProbability(about.probability) }));
  if (call === "too_short") lines.push(say("tooShort", { n: about.words }));
  const held = about.probability === null ? null : about.held_out;
  if (held && held.share_of_machine_texts !== null) lines.push(say("shareOf", { n: grouped(held.texts), words: held.words, p: whole(held.share_of_machine_texts) }));
  if (held) lines.push(say("ranking", { p: whole(held.auroc), q: whole(held.tpr_at_1_percent_fpr) }));
  const about_it = about.detector === null ? [say("noDetector")] : [...trainedOn(about.detector.trained), say("noProof")];
  return h("section", { class: `verdict sheet ${call}`, role: "status" },
    h("h2", {}, say(`call_${call}`)),
    about.probability === null ? null : gauge(about.probability),
    ...lines.map((line) => h("p", {}, line)),
    h("p", { class: "note" }, about_it.join(" ")));
}

function trainedOn(trained) {
  if (!Array.isArray(trained.generators) || !Array.isArray(trained.corpora)) return [];
  return [say("trainedOn", { pairs: grouped(trained.pairs), corpora: trained.corpora.join(", "), generators: trained.generators.join(", ") })];
}

function gauge(probability) {
  const mark = h("b");
  mark.style.left = `${100 * probability}%`;
  return h("div", { class: "gauge", "aria-hidden": "true" }, h("i"), h("i"), h("i"), mark);
}

function shownProbability(p) {
  if (p > CERTAIN) return say("above", { p: CERTAIN });
  return p < 1 - CERTAIN ? say("belowP", { p: "0.01" }) : p.toFixed(2);
}

const whole = (share) => `${Math.round(100 * share)} %`;

// ---- the colours and the histograms ---------------------------------------------------------------------------

function colourPart(data, first, changed) {
  const scored = data.tokens.filter((token) => Number.isInteger(token.rank) && token.rank >= 0);
  const bounds = data.bounds.map((bound, i) => h("input", { type: "number", min: 1, max: 1000000, value: bound, "aria-label": say("bound", { n: i + 1 }), oninput: () => draw() }));
  const buttons = data.tokens.map((token, at) => h("span", { role: "button", onclick: () => select(at) }, token.text || "\u200b")); // a button would break words apart
  const text = tokenText([...data.tokens.flatMap((token, at) => [token.before, buttons[at]]), data.after], (at) => select(at));
  const detail = h("div", { class: "detail sheet", role: "status" });
  const legend = h("div", { class: "legend" });
  const rankChart = h("div");
  let mode = first;

  const limits = () => bounds.map((input) => Math.max(1, Number(input.value) || 1));
  const placeOf = (token) => (mode === "rank" ? limits().filter((bound) => token.rank >= bound).length : SHARES.filter((share) => token.share < share).length);
  function draw() {
    data.tokens.forEach((token, at) => { buttons[at].className = scored.includes(token) ? `r${placeOf(token)}` : ""; });
    const named = mode === "rank" ? [...limits().map((n) => say("belowN", { n: grouped(n) })), say("rest")] : [say("between", { a: 0.75, b: 1 }), say("between", { a: 0.5, b: 0.75 }), say("between", { a: 0.25, b: 0.5 }), say("between", { a: 0, b: 0.25 })];
    legend.replaceChildren(...named.map((name, i) => h("span", {}, h("i", { class: `r${i}` }), name)));
    const counts = new Array(bounds.length + 1).fill(0);
    for (const token of scored) counts[limits().filter((bound) => token.rank >= bound).length] += 1;
    rankChart.replaceChildren(bars(say("chart_rank"), [...limits().map((n) => `< ${grouped(n)}`), say("rest")], counts, true));
    boundsBox.hidden = mode !== "rank";
  }
  function select(at) {
    text.select(at);
    detail.replaceChildren(...detailOf(data.tokens[at]));
  }

  const modes = MODES.map((name) => h("label", {}, h("input", { type: "radio", name: "by", value: name, checked: name === mode, onchange: () => { mode = name; draw(); changed(name); } }), h("span", {}, say(`by_${name}`))));
  const boundsBox = h("span", { class: "bounds" }, ...bounds);
  draw();
  select(data.tokens.reduce((most, token, at) => ((token.rank ?? -1) > (data.tokens[most].rank ?? -1) ? at : most), 0));
  return [
    h("section", { class: "part" }, h("h2", {}, say("coloured")),
      h("div", { class: "tools" }, h("span", { class: "note" }, say("colourBy")), h("div", { class: "segments", role: "radiogroup", "aria-label": say("colourBy") }, ...modes), boundsBox, legend),
      h("div", { class: "coloured" }, text.element, detail)),
    h("section", { class: "part" }, h("h2", {}, say("charts")), h("div", { class: "charts" }, rankChart,
      histogram(say("chart_share"), scored.map((token) => token.share), 0, 1, 10),
      histogram(say("chart_entropy"), scored.map((token) => token.entropy).filter(Number.isFinite), 0, MOST_ENTROPY, 8))),
  ];
}

function detailOf(token) {
  const head = h("h3", {}, ...shownToken(token.text));
  if (!Number.isInteger(token.rank) || token.rank < 0) return [head];
  const facts = [say("chance", { p: percent(token.p || 1e-9) }), say("rank", { n: grouped(token.rank + 1) }), say("fraction", { n: token.share.toFixed(2) })].join(" · ");
  return [head, h("p", { class: "facts number" }, facts), h("div", { class: "note" }, say("nextHere")), guessList(token.top, token.rank < token.top.length ? token.top[token.rank][0] : null)];
}

// ---- the methods ----------------------------------------------------------------------------------------------

function methodsPart(about) {
  const rows = Object.entries(about.methods).map(([name, method]) => h("tr", {},
    h("th", { scope: "row" }, say(`method_${name}`)),
    h("td", { class: "number" }, method.value === null ? "–" : method.value.toFixed(3)),
    h("td", { class: "among" }, ...(method.human_percentile === undefined ? [] : among(method.human_percentile)))));
  return h("section", { class: "part methods" }, h("h2", {}, say("methods")), h("p", { class: "lead" }, say("methodsLead")), h("table", { class: "sheet" }, h("tbody", {}, ...rows)));
}

function among(place) {
  const mark = h("b");
  mark.style.left = `${100 * place}%`;
  return [h("span", { class: "scale", "aria-hidden": "true" }, mark), h("span", { class: "said" }, say("placed", { p: whole(place) }))];
}
