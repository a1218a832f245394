// Attention: all heads small, one of them large, and the same head as lines from each token to those it reads.

import { h, inkOf, percent, spokenToken, svg } from "../lib/view.js";
import { say } from "../lib/words.js";

const LABELLED = 44; // tokens up to which a large map has their names beside it
const LINE = 23; // pixels from one token to the next among the lines
const FAINTEST = 0.03; // shares below this have no line

// Returns { element, select(at), look(layer, head), redraw() }; `chosen(at)` and `opened(layer, head)` are called back.
export function attentionPart(data, chosen, opened) {
  const state = { layer: 0, head: 0, at: 0, hidden: true };
  const name = (i) => (i === 0 ? say("startToken") : spokenToken(data.tokens[i]));
  const buttons = [];
  for (let layer = 0; layer < data.n_layer; layer += 1) {
    for (let head = 0; head < data.n_head; head += 1) {
      buttons.push(h("button", { type: "button", title: say("head", { l: layer + 1, h: head + 1 }), "aria-label": say("head", { l: layer + 1, h: head + 1 }), onclick: () => opened(layer, head) }, h("canvas")));
    }
  }
  const maps = h("div", { class: "maps sheet", role: "group", "aria-label": say("overview"), onkeydown: (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: data.n_head, ArrowUp: -data.n_head }[event.key];
    const next = buttons.indexOf(document.activeElement) + step;
    if (!step || !buttons[next]) return;
    event.preventDefault();
    buttons[next].click();
    buttons[next].focus();
  } }, ...buttons);
  maps.style.gridTemplateColumns = `repeat(${data.n_head}, minmax(0, 1fr))`;

  const canvas = h("canvas", { "aria-hidden": "true" });
  const heading = h("b");
  const told = h("span", { class: "note number" });
  const lines = svg("svg", { role: "img", "aria-label": say("lines") });
  const linesHeading = h("span", { class: "note" });
  const hide = h("input", { type: "checkbox", checked: true, onchange: () => { state.hidden = hide.checked; redraw(); } });
  const element = h("section", { class: "part" }, h("h2", {}, say("attention")), h("p", { class: "lead" }, say("attentionLead")),
    h("div", { class: "attention" },
      h("div", {}, h("div", { class: "heading" }, h("b", {}, say("overview"))), maps, h("label", { class: "choice" }, hide, say("hideStart"))),
      h("div", {}, h("div", { class: "heading" }, heading, told), h("div", { class: "map sheet" }, canvas)),
      h("div", {}, h("div", { class: "heading" }, h("b", {}, say("lines")), linesHeading), h("div", { class: "lines sheet", tabIndex: 0, role: "region", "aria-label": say("lines") }, lines))));

  const first = () => (state.hidden && data.count > 2 ? 1 : 0);
  canvas.addEventListener("pointermove", (event) => {
    const found = cellAt(canvas, event, data.count, first());
    told.textContent = found ? say("attentionOf", { from: name(found.row), to: name(found.column), p: percent(data.row(state.layer, state.head, found.row)[found.column]) }) : "";
  });
  canvas.addEventListener("pointerleave", () => (told.textContent = ""));
  canvas.addEventListener("click", (event) => {
    const found = cellAt(canvas, event, data.count, first());
    if (found) chosen(found.row);
  });

  function drawLarge() {
    heading.textContent = say("head", { l: state.layer + 1, h: state.head + 1 });
    drawMap(canvas, data, state, first(), name);
  }
  function redraw() {
    const colour = inkOf("--says");
    buttons.forEach((button, i) => drawSmall(button.firstChild, data, Math.floor(i / data.n_head), i % data.n_head, first(), colour));
    drawLarge();
    drawLines(lines, data, state, first(), name, chosen);
  }
  return {
    element,
    redraw,
    select(at) {
      state.at = at;
      linesHeading.textContent = at > 0 ? strongest(data, state, first(), name) : "";
      drawLarge();
      drawLines(lines, data, state, first(), name, chosen);
    },
    look(layer, head) {
      Object.assign(state, { layer, head });
      buttons.forEach((button, i) => { const here = i === layer * data.n_head + head; button.setAttribute("aria-pressed", String(here)); button.tabIndex = here ? 0 : -1; });
      this.select(state.at);
    },
  };
}

// What the chosen token reads most.
function strongest(data, state, first, name) {
  const row = data.row(state.layer, state.head, state.at);
  let best = first;
  for (let j = first; j < row.length; j += 1) if (row[j] > row[best]) best = j;
  return best < row.length ? say("attentionOf", { from: name(state.at), to: name(best), p: percent(row[best]) }) : "";
}

function drawSmall(canvas, data, layer, head, first, [red, green, blue]) {
  const n = data.count - first;
  canvas.width = canvas.height = n;
  const context = canvas.getContext("2d");
  const image = context.createImageData(n, n);
  for (let i = 0; i < n; i += 1) {
    const row = data.row(layer, head, i + first);
    for (let j = 0; j <= i; j += 1) image.data.set([red, green, blue, 255 * Math.sqrt(row[j + first])], 4 * (i * n + j));
  }
  context.putImageData(image, 0, 0);
}

// Where the cells of a large map lie: names take a margin at the left and on top where they fit.
function layoutOf(canvas, n) {
  const width = canvas.clientWidth || 420;
  const margin = n <= LABELLED ? Math.min(72, width * 0.2) : 0;
  return { width, margin, cell: (width - margin) / n };
}

function cellAt(canvas, event, count, first) {
  const { margin, cell } = layoutOf(canvas, count - first);
  const column = Math.floor((event.offsetX - margin) / cell) + first;
  const row = Math.floor((event.offsetY - margin) / cell) + first;
  return column >= first && row < count && column <= row ? { row, column } : null;
}

function drawMap(canvas, data, state, first, name) {
  const n = data.count - first;
  const { width, margin, cell } = layoutOf(canvas, n);
  const scale = window.devicePixelRatio || 1;
  canvas.width = canvas.height = Math.round(width * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const [says, ink, muted, well] = ["--says", "--ink", "--muted", "--well"].map((colour) => {
    const parts = inkOf(colour).join(", ");
    return (share = 1) => `rgba(${parts}, ${share})`;
  });
  const gap = cell > 5 ? 1 : 0;
  const drawn = { family: getComputedStyle(canvas.parentElement).fontFamily, size: Math.max(8, Math.min(12.5, cell * 0.82)) };
  context.font = `${drawn.size}px ${drawn.family}`;
  context.textBaseline = "middle";
  for (let i = 0; i < n; i += 1) {
    const row = data.row(state.layer, state.head, i + first);
    const y = margin + i * cell;
    for (let j = 0; j <= i; j += 1) {
      context.fillStyle = well();
      if (gap) context.fillRect(margin + j * cell, y, cell - gap, cell - gap);
      context.fillStyle = says(Math.sqrt(row[j + first]).toFixed(3));
      context.fillRect(margin + j * cell, y, cell - gap, cell - gap);
    }
    if (i + first === state.at) {
      context.strokeStyle = ink();
      context.strokeRect(margin - 0.5, y - 0.5, (i + 1) * cell, cell);
    }
    if (margin) {
      context.fillStyle = i + first === state.at ? ink() : muted();
      context.textAlign = "right";
      context.fillText(clipped(context, name(i + first), margin - 8), margin - 6, y + cell / 2);
      context.save();
      context.translate(margin + (i + 0.5) * cell, margin + i * cell - 5);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillText(clipped(context, name(i + first), margin + i * cell - 6), 0, 0);
      context.restore();
    }
  }
}

function clipped(context, text, room) {
  let shown = text;
  while (shown.length > 1 && context.measureText(shown).width > room) shown = shown.slice(0, -1);
  return shown;
}

function drawLines(drawing, data, state, first, name, chosen) {
  const left = 118;
  const right = 222;
  const nodes = [];
  const from = state.at >= first && state.at > 0 ? [state.at] : Array.from({ length: data.count - first }, (_, i) => i + first);
  const y = (i) => (i - first + 0.5) * LINE;
  for (const i of from) {
    const row = data.row(state.layer, state.head, i);
    for (let j = first; j <= i; j += 1) {
      if (row[j] < FAINTEST) continue;
      const path = svg("path", { d: `M${left + 6} ${y(i)}C${left + 50} ${y(i)} ${right - 50} ${y(j)} ${right - 6} ${y(j)}`, "stroke-opacity": Math.sqrt(row[j]).toFixed(3) });
      path.append(svg("title", {}, say("attentionOf", { from: name(i), to: name(j), p: percent(row[j]) })));
      nodes.push(path);
    }
  }
  const read = from.length === 1 ? data.row(state.layer, state.head, state.at) : null;
  for (let i = first; i < data.count; i += 1) {
    const reading = svg("text", { x: left, y: y(i) + 5, "text-anchor": "end", class: i === state.at ? "here" : read ? "pale" : "" }, name(i));
    const readOne = svg("text", { x: right, y: y(i) + 5, class: read && (read[i] ?? 0) < FAINTEST ? "pale" : "" }, name(i));
    for (const text of [reading, readOne]) text.addEventListener("click", () => chosen(i));
    nodes.push(reading, readOne);
  }
  drawing.setAttribute("viewBox", `0 0 340 ${(data.count - first) * LINE}`);
  drawing.replaceChildren(...nodes);
}
