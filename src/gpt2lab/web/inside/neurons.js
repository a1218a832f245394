// Neurons: which of a layer fire most at a token, and the next tokens for and against which they speak.

import { h, later, shownToken } from "../lib/view.js";
import { grouped, say } from "../lib/words.js";

const WAIT = 150; // milliseconds that a reader who steps through the layers is given to stop

// `ask(layer, at, signal)` promises what /api/inspect/neurons says. Returns { element, show(layer, at) }.
export function neuronsPart(data, ask) {
  const about = h("p", { class: "about", role: "status" });
  const list = h("ol", { class: "neurons sheet" });
  const element = h("section", { class: "part" }, h("h2", {}, say("neurons")), h("p", { class: "lead" }, say("neuronsLead")), about, list);
  let asked = null;
  const fetchSoon = later(WAIT, async (layer, at) => {
    const mine = (asked = new AbortController());
    try {
      const found = await ask(layer, at, mine.signal);
      if (mine !== asked) return;
      const token = at === 0 ? say("startToken") : JSON.stringify(data.tokens[at]);
      about.textContent = say("neuronsOf", { n: found.neurons.length, all: grouped(found.width), l: layer + 1, token });
      const most = Math.max(...found.neurons.map((neuron) => neuron.activation), 1e-9);
      list.replaceChildren(neuronHeads(), ...found.neurons.map((neuron) => neuronRow(neuron, most)));
    } catch (error) {
      if (mine !== asked || error.name === "AbortError") return;
      about.textContent = error.message;
      list.replaceChildren();
    }
    list.classList.remove("waiting");
  });
  const show = (layer, at) => {
    asked?.abort();
    asked = null;
    list.classList.add("waiting");
    fetchSoon(layer, at);
  };
  return { element, show };
}

function neuronHeads() {
  return h("li", { class: "heads", "aria-hidden": "true" }, h("span", {}, say("neuron")), h("span", {}, say("active")), h("span", {}, say("promotes")), h("span", {}, say("suppresses")));
}

function neuronRow(neuron, most) {
  const fill = h("i");
  fill.style.width = `${Math.max(0, (100 * neuron.activation) / most)}%`;
  return h("li", {}, h("span", { class: "number" }, `#${neuron.number}`),
    h("span", { class: "activation" }, h("span", { class: "track" }, fill), h("span", { class: "number" }, neuron.activation.toFixed(2))),
    effectList(say("promotes"), neuron.promotes, "--says"), effectList(say("suppresses"), neuron.suppresses, "--leaves"));
}

// Tokens, each the darker the more is added to its logit or taken from it.
function effectList(name, effects, colour) {
  return h("span", { class: "effects", role: "group", "aria-label": name }, h("span", { class: "note" }, name), ...effects.map(([text, effect]) => {
    const chip = h("span", { class: "token", title: `${effect > 0 ? "+" : "−"}${Math.abs(effect).toFixed(3)}` }, ...shownToken(text));
    chip.style.background = `color-mix(in oklab, var(${colour}) ${(10 + 50 * Math.min(Math.sqrt(Math.abs(effect)), 1)).toFixed(1)}%, transparent)`;
    return chip;
  }));
}
