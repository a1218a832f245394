// One inspection: its parts, and the token and the head that they all show.

import { h } from "../lib/view.js";
import { grouped, say } from "../lib/words.js";
import { attentionPart } from "./attention.js";
import { lensPart } from "./lens.js";
import { readInspection } from "./numbers.js";
import { surprisePart } from "./surprise.js";

// Draws into `root`. `shown`: { at, layer, head } to begin with; `changed(shown)` is called when the reader moves on.
export function drawInspection(root, given, shown = {}, changed = () => {}) {
  const data = readInspection(given);
  const here = {
    at: Math.min(Math.max(shown.at ?? data.count - 1, 0), data.count - 1),
    layer: Math.min(Math.max(shown.layer ?? Math.floor(data.n_layer / 2), 0), data.n_layer - 1),
    head: Math.min(Math.max(shown.head ?? 0, 0), data.n_head - 1),
  };
  const select = (at) => {
    here.at = at;
    for (const part of [surprise, lens, attention]) part.select(at);
    changed(here);
  };
  const look = (layer, head) => {
    Object.assign(here, { layer, head });
    attention.look(layer, head);
    changed(here);
  };
  const surprise = surprisePart(data, select);
  const lens = lensPart(data, select);
  const attention = attentionPart(data, select, look);
  const cut = data.token_count > data.count ? [h("p", { class: "about" }, say("cut", { n: grouped(data.count), all: grouped(data.token_count) }))] : [];
  root.replaceChildren(...cut, surprise.element, lens.element, attention.element);
  surprise.select(here.at);
  lens.select(here.at);
  attention.select(here.at);
  attention.look(here.layer, here.head);
  attention.redraw();
  return attention.redraw;
}
