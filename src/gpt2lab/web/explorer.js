// The explorer: a text as token ids, what may come next, and choices that the browser's own "back" undoes.

import { ask, listModels, streamCompletion } from "./lib/api.js";
import { Editor } from "./lib/editor.js";
import { drawMass, drawOptions } from "./lib/options.js";
import { TEMPERATURES, TOP_KS, TOP_PS, decimals, off, range, slider } from "./lib/settings.js";
import { begin, fail, modelMenu } from "./lib/site.js";
import { addressOf, readAddress } from "./lib/state.js";
import { h, later } from "./lib/view.js";
import { grouped, say } from "./lib/words.js";

begin("explorer");

// What stands in the address. `ids` only where the text, read anew, would have other tokens than those chosen.
const FIELDS = { text: say("begin"), ids: "", model: "", k: 10, view: "tokens", steps: 1, temperature: 1, top_k: 0, top_p: 1 };
const VIEWS = ["tokens", "words", "paths"];
const $ = (id) => document.getElementById(id);

let models = [];
let state = fromAddress();
let known = null; // what the server last said: { text, ids, pieces, exact, next, ahead }
let asked = null; // the AbortController of the question that is open
let burst = false; // whether the reader is typing, and the address is that of the typing already
let depth = history.state?.depth ?? 0; // how many states of this page "back" can return to
let fresh = 0; // how many of the last tokens have just been chosen

const editor = new Editor({ label: say("text"), placeholder: say("begin"), changed: typed });
$("editor").replaceWith(editor.element);

function fromAddress() {
  const found = readAddress(FIELDS);
  const ids = history.state?.ids ?? (found.ids ? found.ids.split(",").map(Number) : null);
  return {
    ...found,
    ids: ids?.length && ids.every((id) => Number.isInteger(id) && id >= 0) ? ids : null,
    k: Math.min(Math.max(Math.round(found.k), 1), 100),
    steps: Math.min(Math.max(Math.round(found.steps), 1), 16),
    view: VIEWS.includes(found.view) ? found.view : "tokens",
  };
}

function write(push) {
  const exact = known === null || known.exact || known.ids !== state.ids;
  const address = addressOf(FIELDS, { ...state, ids: exact || !state.ids ? "" : state.ids.join(",") });
  depth += push ? 1 : 0;
  history[push ? "pushState" : "replaceState"]({ ids: state.ids, depth }, "", address);
}

// ---- asking ---------------------------------------------------------------------------------------------------

function prompt() {
  if (state.ids) return { token_ids: state.ids };
  const text = state.text.replace(/ +$/, ""); // a word brings its own blank
  return text ? { text } : {};
}

async function refresh() {
  asked?.abort();
  const mine = (asked = new AbortController());
  $("options").classList.add("waiting");
  const body = { model: state.model || undefined, ...prompt() };
  const settings = { temperature: state.temperature, top_k: state.top_k, top_p: state.top_p };
  const looksAhead = state.view !== "tokens" || state.steps > 1;
  const steps = state.view === "paths" ? Math.max(state.steps, 2) : state.steps;
  try {
    const [next, text, ahead] = await Promise.all([
      ask("/api/next", { ...body, k: state.k, ...settings }, mine.signal),
      ask("/api/tokens", body, mine.signal),
      looksAhead ? ask("/api/ahead", { ...body, kind: state.view, k: Math.min(state.k, 50), steps }, mine.signal) : null,
    ]);
    if (mine !== asked) return;
    known = { ...text, ids: text.token_ids, next, ahead, steps };
    if (state.ids) {
      state = { ...state, ids: known.ids, text: known.text };
      editor.text = known.text;
      write(false);
    }
    fail(null);
    draw();
  } catch (error) {
    if (mine !== asked || error.name === "AbortError") return;
    fail(error, refresh);
  }
}

const refreshSoon = later(280, refresh);

function typed() {
  asked?.abort();
  known = null;
  fresh = 0;
  state = { ...state, text: editor.text, ids: null };
  editor.plain();
  $("options").classList.add("waiting");
  write(!burst);
  burst = true;
  refreshSoon();
}

// Goes to another state; `push` makes it one that "back" returns from.
function go(changes, push) {
  burst = false;
  refreshSoon.cancel();
  state = { ...state, ...changes };
  write(push);
  refresh();
}

function choose(ids, pieces) {
  if (known === null || $("options").classList.contains("waiting")) return;
  const text = known.text + pieces.join("");
  fresh = ids.length;
  $("told").textContent = say("chosen", { token: pieces.join("") });
  const before = document.activeElement?.closest?.(".option");
  editor.text = text;
  editor.draw([...known.pieces.map((piece, i) => [piece, pieceClass(i, known.pieces.length)]), [pieces.join(""), "piece new"]]);
  go({ text, ids: [...known.ids, ...ids] }, true);
  if (before) refocus = true;
}

let refocus = false; // whether the keyboard was among the options, and shall be again

async function roll() {
  if (known === null) return;
  const body = { model: state.model || undefined, max_tokens: 1, return_token_ids: true, temperature: state.temperature, top_k: state.top_k, top_p: state.top_p };
  let ids = [];
  let text = "";
  try {
    await streamCompletion({ ...body, prompt: known.ids.length ? known.ids : undefined }, (choice) => {
      ids = ids.concat(choice.token_ids ?? []);
      text += choice.text;
    });
  } catch (error) {
    fail(error);
  }
  if (ids.length) choose(ids, [text]);
}

// ---- drawing --------------------------------------------------------------------------------------------------

function pieceClass(i, count) {
  const start = known.next.window.start;
  return `piece${i < start ? " unread" : ""}${(count - i) % 2 ? "" : " odd"}`;
}

function draw() {
  const { next, pieces } = known;
  const count = pieces.length;
  const left = editor.text.slice(known.text.length); // blanks at the end, which were not asked about
  editor.draw([...pieces.map((piece, i) => [piece, pieceClass(i, count) + (i >= count - fresh ? " new" : "")]), [left, ""]]);
  $("about").textContent = count === 0 ? say("noTokens") : [
    count === 1 ? say("token") : say("tokens", { n: grouped(count) }),
    say("uncertainty", { n: grouped(Math.max(1, Math.round(Math.exp(next.entropy)))), bits: (next.entropy / Math.LN2).toFixed(1) }),
  ].join(" · ");
  $("hint").textContent = [
    next.window.start ? say("slides", { n: grouped(next.window.length), all: grouped(count), window: grouped(next.window.n_positions) }) : "",
    left ? say("blankEnd") : "",
    known.ahead && state.view !== "words" && known.ahead.steps < known.steps ? say("short", { n: known.ahead.steps }) : "",
  ].filter(Boolean).join(" ");
  const vocabulary = models.find((m) => m.id === next.model)?.vocab_size;
  const plain = state.temperature === 1 && state.top_k === 0 && state.top_p === 1;
  $("heads").hidden = state.view !== "tokens" || plain;
  drawOptions($("options"), { view: state.view, next, ahead: known.ahead, two: !plain, choose });
  drawMass($("mass"), $("mass-note"), { view: state.view, next, ahead: known.ahead, vocabulary, two: !plain, steps: known.ahead?.steps });
  $("undo").disabled = depth === 0;
  if (refocus) $("options").querySelector("button")?.focus();
  refocus = false;
}

function drawView() {
  const options = VIEWS.map((view) => h("label", {}, h("input", { type: "radio", name: "view", value: view, checked: view === state.view, onchange: () => go({ view }, false) }), h("span", {}, say(`view_${view}`))));
  $("view").replaceChildren(h("div", { class: "segments", role: "radiogroup", "aria-label": say("view") }, ...options));
}

const sliders = {
  temperature: slider({ name: "temperature", stops: TEMPERATURES, value: state.temperature, usual: 1, show: decimals(2), changed: set("temperature") }),
  top_p: slider({ name: "top_p", stops: TOP_PS, value: state.top_p, usual: 1, show: off(1, decimals(2)), changed: set("top_p") }),
  top_k: slider({ name: "top_k", stops: TOP_KS, value: state.top_k || 0, usual: 0, show: off(0), changed: set("top_k") }),
  steps: slider({ name: "steps", stops: range(1, 8, 1), value: state.steps, show: (n) => (n === 1 ? say("stepsOne") : say("stepsShow", { n })), changed: set("steps") }),
  k: slider({ name: "k", stops: [...range(1, 20, 1), 25, 30, 40, 50, 75, 100], value: state.k, changed: set("k") }),
};

function set(name) {
  const soon = later(120, refresh);
  return (value) => {
    state = { ...state, [name]: value };
    write(false);
    soon();
  };
}

function drawSettings() {
  for (const [name, element] of Object.entries(sliders)) element.set(name === "top_k" && !state.top_k ? 0 : state[name]);
  drawView();
  if ($("model").firstChild) $("model").firstChild.value = state.model || models[0].id;
}

// ---- keys and the way back ------------------------------------------------------------------------------------

function undo() {
  if (depth > 0) history.back();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.target.closest?.("select, input, dialog")) return;
  const typing = event.target === editor.area;
  if (event.key === "Escape") {
    if (typing) $("options").querySelector("button")?.focus();
    else { editor.area.focus(); editor.toEnd(); }
    event.preventDefault();
    return;
  }
  if (typing && !event.altKey) return;
  if (/^[0-9]$/.test(event.key)) {
    const option = $("options").children[(Number(event.key) + 9) % 10];
    option?.querySelector("button").click();
  } else if (event.key === "u" || event.key === "Backspace") undo();
  else if (event.key === "r") roll();
  else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const buttons = [...$("options").querySelectorAll(".option > button")];
    const at = buttons.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    buttons[Math.min(Math.max(at, 0), buttons.length - 1)]?.focus();
  } else return;
  event.preventDefault();
});

addEventListener("popstate", () => {
  burst = false;
  fresh = 0;
  refreshSoon.cancel();
  depth = history.state?.depth ?? 0;
  state = fromAddress();
  known = null;
  editor.text = state.text;
  editor.plain();
  drawSettings();
  refresh();
});

$("undo").append("← ", say("undo"));
$("undo").addEventListener("click", undo);
$("random").textContent = say("random");
$("random").addEventListener("click", roll);
$("share").addEventListener("click", async () => {
  await navigator.clipboard.writeText(location.href);
  $("share").textContent = say("copied");
  setTimeout(() => ($("share").textContent = say("share")), 1500);
});
$("settings").append(...Object.values(sliders));
editor.text = state.text;
editor.plain();
drawView();

try {
  models = await listModels();
  if (models.length) $("model").replaceChildren(modelMenu(models, state.model, (model) => go({ model, ids: null }, true)));
  await refresh();
  models = await listModels(); // now that the first one is loaded, it says how many tokens it has
  if (known) draw();
} catch (error) {
  fail(error, () => location.reload());
}
