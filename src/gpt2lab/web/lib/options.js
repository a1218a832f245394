// The list of what may come next, with its bars, and the strip that shows how much of all probability is listed.

import { h, percent, shownToken, spokenToken } from "./view.js";
import { grouped, say } from "./words.js";

const KEYS = 10; // options that a digit chooses

function bar(share, kind = "") {
  const fill = h("i", { hidden: share === 0 });
  fill.style.width = `${100 * share}%`;
  return h("span", { class: `track ${kind}` }, fill);
}

function place(i) {
  return h("span", { class: "place" }, i < KEYS ? String((i + 1) % 10) : "");
}

// `choose(ids, pieces)` is called with what is chosen.
export function drawOptions(list, { view, next, ahead, two, choose }) {
  list.classList.remove("waiting");
  list.classList.toggle("two", view === "tokens" && two);
  list.classList.toggle("ahead", view === "tokens" && !two && ahead !== null);
  list.classList.toggle("long", view === "paths");
  if (view === "tokens") list.replaceChildren(...tokenRows(next, two, ahead, choose));
  else list.replaceChildren(...pathRows(view, ahead.items, choose));
}

// The raw tokens in order, then those that only settings bring in.
function tokenRows(next, two, ahead, choose) {
  const left = new Map(next.filtered.map((token) => [token.id, token.probability]));
  const listed = new Set(next.raw.map((token) => token.id));
  const rows = [...next.raw, ...(two ? next.filtered.filter((token) => !listed.has(token.id)).map((token) => ({ ...token, probability: null })) : [])];
  const largest = next.raw[0].probability;
  const largestLeft = Math.max(largest, next.filtered[0]?.probability ?? 0);
  const paths = new Map((ahead?.items ?? []).map((item) => [item.token_ids[0], item]));
  let sum = 0;
  return rows.map((token, i) => {
    sum += token.probability ?? 0;
    const after = left.get(token.id);
    const label = `${spokenToken(token.text)}, ${token.probability === null ? "" : percent(token.probability)}${two && after !== undefined ? `, ${say("leaves")} ${percent(after)}` : ""}`;
    const path = paths.get(token.id);
    const columns = two
      ? [bar((token.probability ?? 0) / largestLeft), h("span", { class: "value" }, token.probability === null ? "–" : percent(token.probability)),
        bar((after ?? 0) / largestLeft, "after"), h("span", { class: "value after" }, after === undefined ? "–" : percent(after))]
      : [bar(token.probability / largest), h("span", { class: "value" }, percent(token.probability)), h("span", { class: "sum", title: say("sum") }, `Σ ${percent(sum)}`)];
    const button = h("button", { type: "button", "aria-label": label, onclick: () => choose([token.id], [token.text]) },
      place(i), h("span", { class: "token", title: `${JSON.stringify(token.text)} · ${token.id}` }, ...shownToken(token.text), ...(path ? rest(path, choose) : [])), ...columns);
    return h("li", { class: `option${two && after === undefined ? " out" : ""}` }, button);
  });
}

// The tokens behind the first of a path: each may be chosen too, with those before it.
function rest(path, choose) {
  return path.pieces.slice(1).map((piece, i) => h("span", {
    class: "rest link", title: percent(path.probabilities[i + 1]),
    onclick: (event) => { event.stopPropagation(); choose(path.token_ids.slice(0, i + 2), path.pieces.slice(0, i + 2)); },
  }, shortened(piece)));
}

function shortened(piece) {
  return piece.replace(/\n/g, "↵");
}

function pathRows(view, items, choose) {
  const largest = items[0]?.probability ?? 1;
  let sum = 0;
  return items.map((item, i) => {
    sum += item.probability;
    const shown = view === "words" ? shownToken(item.text) : item.pieces.map((piece, j) => h("span", { class: j ? "rest link" : "", title: percent(item.probabilities[j]), onclick: (event) => { event.stopPropagation(); choose(item.token_ids.slice(0, j + 1), item.pieces.slice(0, j + 1)); } }, ...(j ? [shortened(piece)] : shownToken(piece))));
    const columns = [bar(item.probability / largest), h("span", { class: "value" }, percent(item.probability))];
    if (view === "words") columns.push(h("span", { class: "sum", title: say("sum") }, `Σ ${percent(sum)}`));
    return h("li", { class: "option" }, h("button", { type: "button", "aria-label": `${spokenToken(item.text)}, ${percent(item.probability)}`, onclick: () => choose(item.token_ids, item.pieces) }, place(i), h("span", { class: "token", title: item.token_ids.join(" ") }, ...shown), ...columns));
  });
}

export function drawMass(strip, note, { view, next, ahead, vocabulary, two, steps }) {
  const items = view === "tokens" ? next.raw : ahead.items;
  strip.replaceChildren(...items.map((item) => {
    const part = h("i");
    part.style.width = `${100 * item.probability}%`;
    return part;
  }));
  const mass = percent(items.reduce((sum, item) => sum + item.probability, 0));
  const parts = [say(`mass_${view}`, { k: items.length, vocab: vocabulary ? grouped(vocabulary) : "…", n: steps, mass })];
  if (view === "tokens" && two) parts.push(say("massLeft", { n: grouped(next.filtered_count) }));
  note.textContent = parts.join(" · ");
}
