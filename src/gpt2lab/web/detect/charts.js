// Charts of counts: bars with their numbers, drawn as SVG.

import { h, svg } from "../lib/view.js";
import { grouped } from "../lib/words.js";

const WIDTH = 320;
const HEIGHT = 130;
const ROOM = 20; // for the numbers above and the labels below

// `labels` stand below the middle of the bars, or, where there is one more of them, below their edges.
export function bars(title, labels, counts, coloured = false) {
  const most = Math.max(1, ...counts);
  const step = WIDTH / counts.length;
  const edges = labels.length > counts.length;
  const shapes = counts.flatMap((count, i) => {
    const tall = (count / most) * (HEIGHT - ROOM);
    const bar = svg("rect", { x: i * step + 1.5, y: HEIGHT - tall, width: step - 3, height: tall, rx: 2, class: coloured ? `r${i}` : "plain" });
    return [bar, words((i + 0.5) * step, HEIGHT - tall - 5, grouped(count), "middle")];
  });
  const named = labels.map((label, i) => {
    const anchor = !edges ? "middle" : i === 0 ? "start" : i === labels.length - 1 ? "end" : "middle";
    return words((edges ? i : i + 0.5) * step, HEIGHT + 15, label, anchor);
  });
  const spoken = `${title}: ${counts.join(", ")}`;
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + ROOM}`, role: "img", "aria-label": spoken },
    ...shapes, svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }), ...named);
  return h("figure", { class: "chart sheet" }, h("figcaption", {}, title), drawing);
}

export function histogram(title, values, low, high, bins) {
  const counts = new Array(bins).fill(0);
  for (const value of values) counts[Math.min(bins - 1, Math.max(0, Math.floor(((value - low) / (high - low)) * bins)))] += 1;
  const labels = Array.from({ length: bins + 1 }, (_, i) => (i % 2 && bins > 6 ? "" : (low + ((high - low) * i) / bins).toFixed(1)));
  return bars(title, labels, counts);
}

function words(x, y, text, anchor) {
  const node = svg("text", { x, y, "text-anchor": anchor });
  node.textContent = text;
  return node;
}
