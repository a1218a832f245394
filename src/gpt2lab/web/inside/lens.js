// The logit lens: a row for each layer, the last on top, a column for each place, in each cell that layer's first guess.

import { h, percent, shownToken } from "../lib/view.js";
import { say } from "../lib/words.js";
import { guessesFor } from "./numbers.js";

export function layerName(layer, count) {
  if (layer === 0) return say("embeddings");
  return layer === count - 1 ? say("lastLayer") : say("layer", { n: layer });
}

// Returns { element, select(at), look(layer) }; `chosen(at)` and `opened(layer)` are called when the reader chooses a place
// or a cell. Blocks are counted from 0 there, as with attention; the row of the embeddings is no block's.
export function lensPart(data, chosen, opened) {
  const layers = data.lens.length;
  const places = Array.from({ length: data.count }, (_, i) => i + 1);
  const heads = places.map((at) => h("th", { scope: "col", onclick: () => at < data.count && chosen(at) }, ...(at < data.count ? shownToken(data.tokens[at]) : ["…"])));
  const cells = places.map(() => []);
  const names = Array.from({ length: layers }, (_, layer) => h("th", { scope: "row" }, layerName(layer, layers)));
  const rows = Array.from({ length: layers }, (_, i) => layers - 1 - i).map((layer) => h("tr", {}, names[layer], ...places.map((at, column) => {
    const guesses = guessesFor(data, layer, at);
    const [text, probability] = guesses[0];
    const right = at < data.count && data.lens[layer].ranks[at - 1] === 0;
    const cell = h("td", { class: right ? "right" : "", title: guesses.map(([name, p]) => `${JSON.stringify(name)} ${percent(p)}`).join("\n"), onclick: () => { if (at < data.count) chosen(at); if (layer > 0) opened(layer - 1); } }, ...shownToken(text));
    cell.style.background = `color-mix(in oklab, var(--says) ${(62 * Math.sqrt(probability)).toFixed(1)}%, var(--sheet))`;
    cells[column].push(cell);
    return cell;
  })));
  const box = h("div", { class: "lens sheet", tabIndex: 0, role: "region", "aria-label": say("lens") }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}), ...heads)), h("tbody", {}, ...rows)));
  const element = h("section", { class: "part" }, h("h2", {}, say("lens")), h("p", { class: "lead" }, say("lensLead")), box);
  const select = (at) => {
    places.forEach((place, column) => [heads[column], ...cells[column]].forEach((cell) => cell.classList.toggle("here", place === at)));
    const head = heads[at - 1];
    if (head) box.scrollLeft += Math.min(0, head.offsetLeft - box.scrollLeft - 130) + Math.max(0, head.offsetLeft + head.offsetWidth - box.scrollLeft - box.clientWidth + 20);
  };
  const look = (block) => names.forEach((name, layer) => name.classList.toggle("here", layer === block + 1));
  return { element, select, look };
}
