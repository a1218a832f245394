// One inspection: its parts, and the token, the layer and the head that they all show.

import { h } from "../lib/view.js";
import { grouped, say } from "../lib/words.js";
import { attentionPart } from "./attention.js";
import { lensPart } from "./lens.js";
import { neuronsPart } from "./neurons.js";
import { readInspection } from "./numbers.js";
import { stepsPart } from "./steps.js";
import { surprisePart } from "./surprise.js";

// Draws into `root`. `shown`: { at, layer, head } to begin with; `changed(shown)` is called when the reader moves on.
// `server`: { neurons(layer, at, signal), without(at) }, which a page that is kept does not have.
export function drawInspection(root, given, shown = {}, changed = () => {}, server = null) {
  const data = readInspection(given);
  const here = {
    at: Math.min(Math.max(shown.at ?? data.count - 1, 0), data.count - 1),
    layer: Math.min(Math.max(shown.layer ?? Math.floor(data.n_layer / 2), 0), data.n_layer - 1),
    head: Math.min(Math.max(shown.head ?? 0, 0), data.n_head - 1),
  };
  const show = () => {
    steps.show(here.at, here.layer);
    lens.look(here.layer);
    neurons?.show(here.layer, here.at);
  };
  const select = (at) => {
    here.at = at;
    for (const part of [surprise, lens, attention]) part.select(at);
    show();
    changed(here);
  };
  const look = (layer, head = here.head) => {
    Object.assign(here, { layer, head });
    attention.look(layer, head);
    show();
    changed(here);
  };
  const steps = stepsPart(data, select, look);
  const surprise = surprisePart(data, select, server?.without);
  const lens = lensPart(data, select, look);
  const attention = attentionPart(data, select, look);
  const neurons = server ? neuronsPart(data, server.neurons) : null;
  const cut = data.token_count > data.count ? [h("p", { class: "about" }, say("cut", { n: grouped(data.count), all: grouped(data.token_count) }))] : [];
  root.replaceChildren(...cut, steps.element, surprise.element, lens.element, attention.element, ...(neurons ? [neurons.element] : []));
  surprise.select(here.at);
  lens.select(here.at);
  attention.select(here.at);
  attention.look(here.layer, here.head);
  show();
  attention.redraw();
  return attention.redraw;
}
