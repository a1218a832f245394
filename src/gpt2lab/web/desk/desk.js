// The writing desk: an editor in which Tab offers three ways to go on; and, with ?preset=story, one box and one button.

import { listModels, streamCompletion } from "../lib/api.js";
import { Editor } from "../lib/editor.js";
import { TEMPERATURES, TOP_KS, TOP_PS, decimals, off, slider } from "../lib/settings.js";
import { begin, fail, modelMenu } from "../lib/site.js";
import { addressOf, keep, kept, readAddress } from "../lib/state.js";
import { h, percent } from "../lib/view.js";
import { grouped, say } from "../lib/words.js";
import { MadeText } from "./made.js";
import { Offers } from "./offers.js";

begin("desk");

const PRESETS = { desk: { temperature: 0.9, top_p: 0.95, top_k: 0, length: 20, until: "length" }, story: { temperature: 0.85, top_p: 0.95, top_k: 0, length: 200, until: "length" } };
const UNTIL = ["length", "sentence", "line"];
const LENGTHS = [4, 8, 12, 16, 20, 30, 40, 60, 80, 120, 160, 200, 300, 400];
const SENTENCE = /[.!?…]["'”’)]*(?=\s)|[。!?]["'”’」)]*/;
const MOST_CHARACTERS = 20000; // of the text before the cursor; the model's window is shorter

const $ = (id) => document.getElementById(id);
const preset = new URLSearchParams(location.search).get("preset") === "story" ? "story" : "desk";
const FIELDS = { preset: "desk", model: "", seed: -1, ...PRESETS[preset] }; // a seed below 0 is none
const state = { ...readAddress(FIELDS), preset };
if (!UNTIL.includes(state.until)) state.until = "length";
const made = new MadeText();
let running = null; // the AbortController of what is being written
let byModel = false; // whether the change that comes is the model's

const editor = new Editor({ label: say("text"), placeholder: say(`${preset}Placeholder`), changed });
$("editor").replaceWith(editor.element);
const offers = new Offers(editor, { accepted, closed: stop, others: suggest });

// ---- the text -------------------------------------------------------------------------------------------------

function changed() {
  made.change(editor.text, editor.area.selectionStart, byModel);
  editor.draw(made.parts());
  keep(`draft.${preset}`, editor.text || null);
  const words = editor.text.match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[\p{L}\p{N}'’-]+/gu) ?? [];
  $("about").textContent = words.length ? [say("words", { n: grouped(words.length) }), ...(made.share ? [say("madeShare", { p: percent(made.share) })] : [])].join(" · ") : "";
  $("clear").disabled = $("copy").disabled = !editor.text;
  if (preset === "story" && !running) $("ask").textContent = say(made.share ? "more" : "tell");
}

function stop() {
  running?.abort();
  running = null;
}

function request(prompt) {
  return { model: state.model || undefined, prompt, max_tokens: state.length, temperature: state.temperature, top_p: state.top_p, top_k: state.top_k, seed: state.seed < 0 ? undefined : state.seed, stop: state.until === "line" ? ["\n"] : undefined };
}

// What is asked about is the text without blanks at its end: a word brings its own.
function question(text) {
  const prompt = text.replace(/ +$/, "");
  return { prompt: prompt.slice(-MOST_CHARACTERS), blank: prompt.length < text.length };
}

// ---- three ways to go on --------------------------------------------------------------------------------------

async function suggest() {
  const cursor = editor.area.selectionEnd;
  editor.area.setSelectionRange(cursor, cursor);
  stop();
  offers.hide();
  const { prompt, blank } = question(editor.text.slice(0, cursor));
  offers.show(editor.place(cursor));
  const mine = (running = new AbortController());
  const said = ["", "", ""];
  const ended = [false, false, false];
  const show = (i, text, over) => {
    ended[i] ||= over;
    offers.put(i, blank ? text.replace(/^ /, "") : text, ended[i]);
  };
  try {
    await streamCompletion({ ...request(prompt), n: said.length }, (choice) => {
      const i = choice.index;
      if (mine !== running || ended[i]) return;
      said[i] += choice.text;
      const end = state.until === "sentence" ? SENTENCE.exec(said[i]) : null;
      show(i, end ? said[i].slice(0, end.index + end[0].length) : said[i], end !== null || choice.finish_reason !== null);
      if (ended.every(Boolean)) mine.abort();
    }, mine.signal);
  } catch (error) {
    if (error.name !== "AbortError") {
      offers.hide();
      fail(error, suggest);
    }
  }
  if (mine === running) running = null;
}

function accepted(text) {
  byModel = true;
  editor.insert(text);
  byModel = false;
}

// ---- one story ------------------------------------------------------------------------------------------------

async function tell() {
  if (running) {
    stop();
    return;
  }
  const mine = (running = new AbortController());
  const { prompt } = question(editor.text);
  let text = editor.text.replace(/ +$/, "");
  $("ask").textContent = say("stop");
  editor.area.readOnly = true;
  fail(null);
  try {
    await streamCompletion(request(prompt), (choice) => {
      text += choice.text;
      byModel = true;
      editor.text = text;
      changed();
      byModel = false;
    }, mine.signal);
  } catch (error) {
    fail(error, tell);
  }
  editor.area.readOnly = false;
  if (mine === running) running = null;
  changed();
}

// ---- the page -------------------------------------------------------------------------------------------------

function set(name) {
  return (value) => {
    state[name] = value;
    history.replaceState(null, "", addressOf({ ...FIELDS, preset: "desk" }, state));
  };
}

let leaving = false; // whether Esc came last: then Tab goes on to what follows the text

editor.area.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  const left = leaving;
  leaving = event.key === "Escape";
  if (offers.open && offers.key(event)) return;
  if (event.key === "Tab" && !event.shiftKey && !event.ctrlKey && !event.altKey && preset === "desk" && !left) {
    event.preventDefault();
    suggest();
  } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    act();
  }
});
editor.area.addEventListener("pointerdown", () => offers.hide());

function act() {
  if (preset === "story") tell();
  else {
    editor.area.focus();
    suggest();
  }
}

$("title").textContent = say(`${preset}Title`);
$("lead").textContent = say(`${preset}Lead`);
$("ask").textContent = say(preset === "story" ? "tell" : "suggest");
$("ask").addEventListener("click", act);
$("keys").hidden = preset === "story";
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(editor.text);
  $("copy").textContent = say("copied");
  setTimeout(() => ($("copy").textContent = say("copy")), 1500);
});
$("clear").addEventListener("click", () => {
  stop();
  offers.hide();
  editor.area.select();
  if (!document.execCommand("delete")) editor.text = "";
  changed();
  editor.area.focus();
});
document.body.classList.toggle("story", preset === "story");
$("preset").replaceChildren(h("div", { class: "segments", role: "radiogroup", "aria-label": say("preset") }, ...Object.keys(PRESETS).map((name) =>
  h("label", {}, h("input", { type: "radio", name: "preset", value: name, checked: name === preset, onchange: () => (location.search = name === "story" ? "?preset=story" : "") }), h("span", {}, say(name))))));
const usual = PRESETS[preset];
$("sliders").append(
  slider({ name: "temperature", stops: TEMPERATURES, value: state.temperature, usual: usual.temperature, show: decimals(2), changed: set("temperature") }),
  slider({ name: "top_p", stops: TOP_PS, value: state.top_p, usual: usual.top_p, show: off(1, decimals(2)), changed: set("top_p") }),
  slider({ name: "top_k", stops: TOP_KS, value: state.top_k, usual: usual.top_k, show: off(0), changed: set("top_k") }),
  slider({ name: "length", stops: LENGTHS, value: state.length, usual: usual.length, show: (n) => say("lengthShow", { n }), changed: set("length") }),
);
$("until").append(...UNTIL.map((name) => h("option", { value: name }, say(`until_${name}`))));
$("until").value = state.until;
$("until").addEventListener("change", () => set("until")($("until").value));
$("until-box").hidden = preset === "story";

editor.text = kept(`draft.${preset}`) ?? "";
changed();
try {
  const models = await listModels();
  $("model").replaceChildren(modelMenu(models, state.model, set("model")));
} catch (error) {
  fail(error, () => location.reload());
}
if (matchMedia("(pointer: fine)").matches) {
  editor.area.focus();
  editor.toEnd();
}
