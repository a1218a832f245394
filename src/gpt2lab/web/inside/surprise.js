// The text, each token the darker the less it was expected, and what was expected in the place of the chosen one. A token
// can be left out: then the colours say how much more, or less, surprising that makes the others.

import { guessList, tokenText } from "../lib/tokens.js";
import { h, percent, shownToken } from "../lib/view.js";
import { grouped, say } from "../lib/words.js";
import { guessesFor } from "./numbers.js";

const MOST_BITS = 14; // from here on a token is as dark as can be
const MOST_CHANGE = 6; // and so it is when it has become so many bits more, or less, surprising

export function surpriseColour(bits) {
  return `color-mix(in oklab, var(--leaves) ${(78 * Math.min(bits / MOST_BITS, 1)).toFixed(1)}%, transparent)`;
}

export function changeColour(bits) {
  return `color-mix(in oklab, var(${bits > 0 ? "--leaves" : "--says"}) ${(78 * Math.min(Math.abs(bits) / MOST_CHANGE, 1)).toFixed(1)}%, transparent)`;
}

function signed(bits) {
  return `${bits < 0 ? "−" : "+"}${Math.abs(bits).toFixed(2)}`;
}

// Returns { element, select(at) }; `chosen(at)` is called when the reader chooses a token. `without(at)`, where there is a
// server to ask, promises what /api/inspect/without says.
export function surprisePart(data, chosen, without) {
  const state = { at: 0, out: 0, surprises: null };
  const buttons = data.pieces.map((piece, at) => {
    if (at === 0) return h("button", { type: "button", class: "start", onclick: () => chosen(0) }, say("startToken"));
    return h("button", { type: "button", onclick: () => chosen(at) }, piece || "\u200b");
  });
  const text = tokenText(buttons, chosen);
  const [low, high, sum] = [h("span"), h("span"), h("span", { class: "sum" })];
  const scale = h("div", { class: "scale" }, low, h("i"), high, sum);
  const facts = h("div", { role: "status" });
  const toggle = h("button", { type: "button", class: "button", hidden: true, onclick: async () => {
    const at = state.out ? 0 : state.at;
    toggle.disabled = true;
    try {
      Object.assign(state, { out: at, surprises: at ? (await without(at)).surprises : null });
      draw();
    } catch (error) {
      facts.append(h("p", { class: "facts" }, error.message));
    }
    toggle.disabled = false;
  } });
  const detail = h("div", { class: "detail sheet" }, facts, toggle);
  const element = h("section", { class: "part" }, h("h2", {}, say("surprise")), h("p", { class: "lead" }, say("surpriseLead")), h("div", { class: "surprise" }, h("div", {}, text.element, scale), detail));

  // How many bits more token `at` costs without the one that is left out; 0 for those before it.
  const change = (at) => (at > state.out && state.surprises ? state.surprises[at] - data.surprises[at] : 0);

  function draw() {
    const out = state.surprises ? state.out : 0;
    buttons.forEach((button, at) => {
      if (at === 0) return;
      button.classList.toggle("out", at === out);
      button.title = out && at !== out ? say("bitsMore", { n: signed(change(at)) }) : say("bits", { n: data.surprises[at].toFixed(1) });
      button.style.background = out ? changeColour(change(at)) : surpriseColour(data.surprises[at]);
    });
    scale.classList.toggle("changed", out > 0);
    low.textContent = say(out ? "lessBits" : "likely");
    high.textContent = say(out ? "moreBits" : "unlikely");
    const all = buttons.map((_, at) => change(at)).reduce((total, bits) => total + bits, 0);
    sum.textContent = out ? say("withoutSummary", { token: JSON.stringify(data.tokens[out]), n: signed(all) }) : summaryOf(data);
    toggle.textContent = say(out ? "putBack" : "leaveOut");
    toggle.hidden = !without || (state.at === 0 && !out);
    facts.replaceChildren(...detailOf(data, state.at));
    if (out && state.at > out) facts.append(h("p", { class: "facts number" }, say("withoutHere", { token: JSON.stringify(data.tokens[out]), bits: state.surprises[state.at].toFixed(2), n: signed(change(state.at)) })));
  }
  const select = (at) => {
    state.at = at;
    text.select(at);
    draw();
  };
  return { element, select };
}

function summaryOf(data) {
  const known = data.surprises.slice(1);
  const mean = known.reduce((total, bits) => total + bits, 0) / known.length;
  return say("surpriseSummary", { bits: mean.toFixed(2), ppl: grouped(Number((2 ** mean).toPrecision(4))) });
}

function detailOf(data, at) {
  if (at === 0) return [h("h3", {}, say("startToken")), h("p", { class: "facts" }, data.tokens[0])];
  const last = data.lens.length - 1;
  const bits = data.surprises[at];
  const facts = [say("bits", { n: bits.toFixed(2) }), say("chance", { p: percent(2 ** -bits) }), say("rank", { n: grouped(data.lens[last].ranks[at - 1] + 1) })].join(" · ");
  return [h("h3", {}, ...shownToken(data.tokens[at])), h("p", { class: "facts number" }, facts), h("div", { class: "note" }, say("nextHere")), guessList(guessesFor(data, last, at), data.tokens[at])];
}
