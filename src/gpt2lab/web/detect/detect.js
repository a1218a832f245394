// Who wrote it: a text is sent, and what was measured of it is drawn. The text stays in this browser.

import { ask, listModels } from "../lib/api.js";
import { Editor } from "../lib/editor.js";
import { begin, fail, modelMenu } from "../lib/site.js";
import { addressOf, keep, kept, readAddress } from "../lib/state.js";
import { grouped, say } from "../lib/words.js";
import { drawResult } from "./result.js";

begin("detect");

const FIELDS = { model: "", by: "rank" };
const $ = (id) => document.getElementById(id);
let state = readAddress(FIELDS);
let asked = null;

const editor = new Editor({ label: say("text"), placeholder: say("detectPlaceholder"), changed });
$("editor").replaceWith(editor.element);

function changed() {
  editor.plain();
  keep("draft.detect", editor.text || null);
  const blank = editor.text.trim() === "";
  $("measure").disabled = blank;
  $("clear").disabled = editor.text === "";
  $("doing").textContent = blank ? "" : say("words", { n: grouped(editor.text.trim().split(/\s+/).length) });
}

function set(changes) {
  state = { ...state, ...changes };
  history.replaceState(null, "", addressOf(FIELDS, state));
}

async function measure() {
  if (editor.text.trim() === "") return;
  asked?.abort();
  const mine = (asked = new AbortController());
  $("doing").textContent = say("measuring");
  try {
    const data = await ask("/api/detect", { text: editor.text, model: state.model || undefined }, mine.signal);
    if (mine !== asked) return;
    fail(null);
    drawResult($("result"), data, state.by, (by) => set({ by }));
  } catch (error) {
    if (mine === asked) fail(error, measure);
  }
  if (mine === asked) changed();
}

$("measure").addEventListener("click", measure);
$("clear").addEventListener("click", () => {
  asked?.abort();
  editor.text = "";
  changed();
  $("result").replaceChildren();
  editor.area.focus();
});
editor.area.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) measure();
});

editor.text = kept("draft.detect") ?? "";
changed();
try {
  const models = await listModels();
  $("model").replaceWith(modelMenu(models, state.model, (model) => {
    set({ model });
    measure();
  }));
} catch (error) {
  fail(error, () => location.reload());
}
if (matchMedia("(pointer: fine)").matches) editor.area.focus();
