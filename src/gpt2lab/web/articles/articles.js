// News articles: five boxes, each of which the model writes from the others.

import { ask, streamFrom } from "../lib/api.js";
import { TEMPERATURES, TOP_PS, decimals, off, slider } from "../lib/settings.js";
import { begin, fail, modelMenu } from "../lib/site.js";
import { addressOf, keep, kept, readAddress } from "../lib/state.js";
import { grouped, say } from "../lib/words.js";
import { Box } from "./box.js";

begin("articles");

const FIELDS = { model: "", seed: -1, temperature: 1, top_p: 0.95, bodyLength: 0 }; // a seed below 0 is none, a length of 0 no bound
const NAMES = ["domain", "date", "authors", "title", "article"];
const LENGTHS = [40, 80, 120, 160, 200, 300, 400, 600, 800, 0];
const $ = (id) => document.getElementById(id);
const state = readAddress(FIELDS);
const boxes = NAMES.map((name) => new Box(name, { write: toggle, changed }));
let models = [];
let running = null; // { box, stop } of what is being written

function set(name) {
  return (value) => {
    state[name] = value;
    history.replaceState(null, "", addressOf(FIELDS, state));
  };
}

function changed() {
  const texts = Object.fromEntries(boxes.filter((box) => box.text).map((box) => [box.name, box.text]));
  keep("draft.articles", Object.keys(texts).length ? JSON.stringify(texts) : null);
  const able = models.length > 0;
  for (const box of boxes) box.button.disabled = !able || (running !== null && running.box !== box);
  $("fill").disabled = !able || running !== null || boxes.every((box) => box.text.trim());
  $("clear").disabled = $("copy").disabled = Object.keys(texts).length === 0;
}

// ---- writing --------------------------------------------------------------------------------------------------

function toggle(box) {
  if (running?.box === box) running.stop.abort();
  else if (running === null && models.length) write(box);
}

// Writes a field from the others; returns whether it came to its end.
async function write(box) {
  const stop = new AbortController();
  const fields = Object.fromEntries(boxes.filter((other) => other !== box && other.text.trim()).map((other) => [other.name, other.text]));
  const body = { ...fields, model: state.model || models[0], target: box.name, temperature: state.temperature, top_p: state.top_p, seed: state.seed < 0 ? undefined : state.seed, max_tokens: (box.name === "article" && state.bodyLength) || undefined };
  running = { box, stop };
  fail(null);
  box.start();
  changed();
  const told = [];
  let ended = false;
  try {
    await streamFrom("/api/article", body, (choice, data) => {
      box.add(choice.text);
      if (choice.finish_reason === null) return;
      ended = true;
      told.push(say("byTheModel"));
      if (choice.finish_reason !== "stop") told.push(say("notEnded"));
      if (data.cut) told.push(say("cutAway", { n: grouped(data.cut) }));
    }, stop.signal);
  } catch (error) {
    fail(error, () => write(box));
  }
  running = null;
  box.end(told.join(" · "));
  $("told").textContent = told.length ? `${box.label}: ${told.join(" · ")}` : "";
  changed();
  return ended;
}

async function fill() {
  for (const box of boxes) {
    if (box.text.trim() === "" && !(await write(box))) return;
  }
}

// ---- the page -------------------------------------------------------------------------------------------------

for (const box of boxes) {
  box.element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      toggle(box);
    } else if (event.key === "Enter" && box.name !== "article" && event.target === box.editor.area) event.preventDefault(); // a field of one line
  });
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.stop.abort();
});
$("boxes").append(...boxes.map((box) => box.element));
$("fill").addEventListener("click", fill);
$("clear").addEventListener("click", () => {
  running?.stop.abort();
  for (const box of boxes) {
    Object.assign(box, { text: "", made: false, earlier: [] });
    box.note.textContent = "";
    box.draw();
  }
  changed();
  boxes[0].editor.area.focus();
});
$("copy").addEventListener("click", async () => {
  const at = Object.fromEntries(boxes.map((box) => [box.name, box.text]));
  const record = { domain: at.domain, publish_date: at.date, authors: at.authors ? at.authors.split(/,\s*/) : [], title: at.title, text: at.article };
  await navigator.clipboard.writeText(JSON.stringify(record));
  $("copy").textContent = say("copied");
  setTimeout(() => ($("copy").textContent = say("copyJson")), 1500);
});
$("sliders").append(
  slider({ name: "temperature", stops: TEMPERATURES, value: state.temperature, usual: 1, show: decimals(2), changed: set("temperature") }),
  slider({ name: "top_p", stops: TOP_PS, value: state.top_p, usual: 0.95, show: off(1, decimals(2)), changed: set("top_p") }),
  slider({ name: "bodyLength", stops: LENGTHS, value: state.bodyLength, usual: 0, show: off(0, (n) => say("lengthShow", { n })), changed: set("bodyLength") }),
);
try {
  for (const [name, text] of Object.entries(JSON.parse(kept("draft.articles") ?? "{}"))) {
    const box = boxes.find((one) => one.name === name);
    if (box && typeof text === "string") box.text = text;
  }
} catch {
  // What was kept is no draft of ours.
}
for (const box of boxes) box.draw();
changed();
try {
  ({ models } = await ask("/api/article"));
  $("absent").hidden = models.length > 0;
  $("model-box").hidden = models.length === 0;
  if (models.length) {
    if (!models.includes(state.model)) state.model = models[0];
    $("model").replaceChildren(modelMenu(models.map((id) => ({ id })), state.model, set("model")));
  }
  changed();
} catch (error) {
  fail(error, () => location.reload());
}
