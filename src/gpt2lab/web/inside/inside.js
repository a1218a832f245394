// Look inside: a text is sent, and what the model holds of it is drawn.

import { ask, fetchFile, listModels } from "../lib/api.js";
import { Editor } from "../lib/editor.js";
import { begin, fail, modelMenu } from "../lib/site.js";
import { addressOf, readAddress } from "../lib/state.js";
import { h } from "../lib/view.js";
import { say } from "../lib/words.js";
import { drawInspection } from "./inspection.js";

begin("inside");

const FIELDS = { text: say("insideText"), model: "", at: -1, layer: -1, head: -1 };
const $ = (id) => document.getElementById(id);
let state = readAddress(FIELDS);
let redraw = () => {};
let asked = null;

const editor = new Editor({ label: say("text"), placeholder: say("insideText"), changed: () => editor.plain() });
$("editor").replaceWith(editor.element);

function put(text) {
  editor.text = text;
  editor.plain();
}

async function look(push) {
  asked?.abort();
  const mine = (asked = new AbortController());
  const body = { text: editor.text, model: state.model || undefined };
  if (!body.text) return;
  if (push) {
    state = { ...state, text: editor.text, at: -1 };
    history.pushState(null, "", addressOf(FIELDS, state));
  }
  $("doing").textContent = say("looking");
  try {
    const data = await ask("/api/inspect", body, mine.signal);
    if (mine !== asked) return;
    fail(null);
    const shown = { at: state.at < 0 ? undefined : state.at, layer: state.layer < 0 ? undefined : state.layer, head: state.head < 0 ? undefined : state.head };
    redraw = drawInspection($("inspection"), data, shown, (now) => {
      state = { ...state, ...now };
      history.replaceState(null, "", addressOf(FIELDS, state));
    }, {
      neurons: (layer, at, signal) => ask("/api/inspect/neurons", { ...body, layer, at }, signal),
      without: (at) => ask("/api/inspect/without", { ...body, at }),
    });
    $("save").disabled = false;
  } catch (error) {
    if (mine === asked) fail(error, () => look(false));
  }
  if (mine === asked) $("doing").textContent = "";
}

async function save() {
  try {
    const file = await fetchFile("/api/inspect/page", { text: state.text, model: state.model || undefined });
    const link = h("a", { href: URL.createObjectURL(file), download: "inside.html" });
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) {
    fail(error, save);
  }
}

$("look").addEventListener("click", () => look(true));
$("save").addEventListener("click", save);
editor.area.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) look(true);
});
addEventListener("popstate", () => {
  state = readAddress(FIELDS);
  put(state.text);
  look(false);
});
addEventListener("themechange", () => redraw());
addEventListener("resize", () => redraw());

put(state.text);
try {
  const models = await listModels();
  $("model").replaceWith(modelMenu(models, state.model, (model) => {
    state = { ...state, model, at: -1, layer: -1, head: -1 };
    look(true);
  }));
  await look(false);
} catch (error) {
  fail(error, () => location.reload());
}
