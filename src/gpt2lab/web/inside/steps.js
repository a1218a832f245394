// Where one is: the token and the layer that all parts show, with steps to the ones beside them.

import { h, shownToken } from "../lib/view.js";
import { say } from "../lib/words.js";

// `select(at)` and `look(layer)` are called when the reader goes on. Returns { element, show(at, layer) }.
export function stepsPart(data, select, look) {
  const here = { at: 0, layer: 0 };
  const token = stepper(say("stepToken"), (by) => select(Math.min(Math.max(here.at + by, 0), data.count - 1)));
  const layer = stepper(say("stepLayer"), (by) => look(Math.min(Math.max(here.layer + by, 0), data.n_layer - 1)));
  const element = h("div", { class: "steps", role: "toolbar", "aria-label": say("steps_inside") }, token.element, layer.element);
  const show = (at, at_layer) => {
    Object.assign(here, { at, layer: at_layer });
    token.show(at, data.count, at === 0 ? [say("startToken")] : shownToken(data.tokens[at]));
    layer.show(at_layer, data.n_layer, []);
  };
  return { element, show };
}

function stepper(name, step) {
  const arrow = (by, sign) => h("button", { type: "button", class: "quiet", "aria-label": say(by < 0 ? "stepBack" : "stepOn", { what: name }), onclick: () => step(by) }, sign);
  const back = arrow(-1, "‹");
  const on = arrow(1, "›");
  const shown = h("span", { class: "now" });
  const places = h("span", { class: "note number" });
  const element = h("div", { class: "step", role: "group", "aria-label": name, onkeydown: (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    step(by);
  } }, back, h("span", { class: "note" }, name), shown, places, on);
  const show = (at, count, parts) => {
    shown.replaceChildren(...parts);
    places.textContent = `${at + 1} / ${count}`;
    back.setAttribute("aria-disabled", String(at === 0));
    on.setAttribute("aria-disabled", String(at === count - 1));
  };
  return { element, show };
}
