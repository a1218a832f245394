// The text, each token the darker the less it was expected, and what was expected in the place of the chosen one.

import { guessList, tokenText } from "../lib/tokens.js";
import { h, percent, shownToken } from "../lib/view.js";
import { grouped, say } from "../lib/words.js";
import { guessesFor } from "./numbers.js";

const MOST_BITS = 14; // from here on a token is as dark as can be

export function surpriseColour(bits) {
  return `color-mix(in oklab, var(--leaves) ${(78 * Math.min(bits / MOST_BITS, 1)).toFixed(1)}%, transparent)`;
}

// Returns { element, select(at) }; `chosen(at)` is called when the reader chooses a token.
export function surprisePart(data, chosen) {
  const buttons = data.pieces.map((piece, at) => {
    if (at === 0) return h("button", { type: "button", class: "start", onclick: () => chosen(0) }, say("startToken"));
    const bits = data.surprises[at];
    const button = h("button", { type: "button", title: say("bits", { n: bits.toFixed(1) }), onclick: () => chosen(at) }, piece || "\u200b");
    button.style.background = surpriseColour(bits);
    return button;
  });
  const text = tokenText(buttons, chosen);
  const known = data.surprises.slice(1);
  const mean = known.reduce((sum, bits) => sum + bits, 0) / known.length;
  const scale = h("div", { class: "scale" }, say("likely"), h("i"), say("unlikely"), h("span", { class: "sum" }, say("surpriseSummary", { bits: mean.toFixed(2), ppl: grouped(Number((2 ** mean).toPrecision(4))) })));
  const detail = h("div", { class: "detail sheet", role: "status" });
  const element = h("section", { class: "part" }, h("h2", {}, say("surprise")), h("p", { class: "lead" }, say("surpriseLead")), h("div", { class: "surprise" }, h("div", {}, text.element, scale), detail));
  const select = (at) => {
    text.select(at);
    detail.replaceChildren(...detailOf(data, at));
  };
  return { element, select };
}

function detailOf(data, at) {
  if (at === 0) return [h("h3", {}, say("startToken")), h("p", { class: "facts" }, data.tokens[0])];
  const last = data.lens.length - 1;
  const bits = data.surprises[at];
  const facts = [say("bits", { n: bits.toFixed(2) }), say("chance", { p: percent(2 ** -bits) }), say("rank", { n: grouped(data.lens[last].ranks[at - 1] + 1) })].join(" · ");
  return [h("h3", {}, ...shownToken(data.tokens[at])), h("p", { class: "facts number" }, facts), h("div", { class: "note" }, say("nextHere")), guessList(guessesFor(data, last, at), data.tokens[at])];
}
