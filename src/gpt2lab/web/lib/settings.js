// Sliders for the settings of sampling and of the pages.

import { h } from "./view.js";
import { say } from "./words.js";

let numbered = 0;

// A slider over `stops`, the values it can take: { name, stops, value, usual, show, changed }.
export function slider({ name, stops, value, usual, show = String, changed }) {
  const nearest = (v) => stops.reduce((best, stop, i) => (Math.abs(stop - v) < Math.abs(stops[best] - v) ? i : best), 0);
  const id = `slider-${name}-${(numbered += 1)}`;
  const output = h("output", { htmlFor: id });
  const input = h("input", { id, type: "range", min: 0, max: stops.length - 1, step: 1, name });
  const box = h("div", { class: "slider" }, h("label", { htmlFor: id }, say(name)), output, input);
  const draw = (v) => {
    output.textContent = show(v);
    input.setAttribute("aria-valuetext", show(v));
    input.style.setProperty("--at", `${(100 * input.value) / (stops.length - 1)}%`);
    box.classList.toggle("set", usual !== undefined && v !== usual);
    box.classList.toggle("off", output.textContent === say("off"));
  };
  box.set = (v) => { input.value = nearest(v); draw(v); };
  input.addEventListener("input", () => { const v = stops[input.value]; draw(v); changed(v); });
  box.set(value);
  return box;
}

export const range = (from, to, step) => Array.from({ length: Math.round((to - from) / step) + 1 }, (_, i) => Number((from + i * step).toFixed(4)));

export const TEMPERATURES = range(0, 2, 0.05);
export const TOP_PS = [...range(0.05, 0.9, 0.05), 0.92, 0.95, 0.97, 0.99, 1];
export const TOP_KS = [1, 2, 3, 4, 5, 8, 10, 15, 20, 30, 40, 50, 75, 100, 200, 500, 1000, 0];

export const off = (neutral, show = String) => (v) => (v === neutral ? say("off") : show(v));
export const decimals = (digits) => (v) => v.toFixed(digits);
