// Music: a piece is composed, or a MIDI file is gone on from; it is seen as a piano roll, heard, and kept as MIDI.

import { ask, fetchFile, listModels } from "../lib/api.js";
import { TEMPERATURES, TOP_KS, TOP_PS, decimals, off, slider } from "../lib/settings.js";
import { begin, fail, modelMenu } from "../lib/site.js";
import { addressOf, readAddress } from "../lib/state.js";
import { h } from "../lib/view.js";
import { grouped, say } from "../lib/words.js";
import { Player } from "./player.js";
import { Roll, clock } from "./roll.js";

begin("music");

const FIELDS = { model: "", temperature: 1, top_p: 0.95, top_k: 0, seconds: 20, primer: 10, seed: -1 }; // a seed below 0 is none
const LENGTHS = [5, 10, 15, 20, 30, 45, 60, 90, 120];
const PRIMERS = [2, 3, 5, 8, 10, 15, 20, 30, 45, 60, 0]; // 0: the whole file
const NOTHING = { notes: [], seconds: 0, file: false, told: "" };

const $ = (id) => document.getElementById(id);
const state = readAddress(FIELDS);
let piece = NOTHING;
const past = []; // pieces that undo brings back
let running = null; // the AbortController of what is asked

const player = new Player({ moved: (time) => at(time, true), ended: () => { at(player.time, false); drawPlay(); } });
const roll = new Roll({ sought: (time) => { player.seek(time); at(time, player.playing); } });
$("roll").replaceWith(roll.element);

// ---- the piece ------------------------------------------------------------------------------------------------

function at(time, sounding) {
  roll.at(time, sounding);
  $("clock").textContent = piece.notes.length ? `${clock(time)} / ${clock(piece.seconds)}` : "";
}

function drawPlay() {
  $("play").textContent = say(player.playing ? "pause" : "play");
}

function show(next, from = 0) {
  piece = next;
  player.load(piece.notes, piece.seconds);
  player.time = from;
  roll.draw(piece.notes, piece.seconds);
  roll.show(from);
  at(from, false);
  $("about").textContent = piece.told;
  $("play").disabled = $("more").disabled = $("save").disabled = piece.notes.length === 0;
  $("undo").disabled = past.length === 0;
  primerBox.hidden = !piece.file;
  drawPlay();
}

function replace(next, from) {
  past.push(piece);
  show(next, from);
}

function plain(notes) {
  return notes.map(({ start, end, pitch, velocity, channel }) => ({ start, end, pitch, velocity, channel }));
}

// What is gone on from: the piece, or as much of a file as the reader takes.
function beginning() {
  const end = piece.file && state.primer ? Math.min(state.primer, piece.seconds) : piece.seconds;
  return { end, notes: plain(piece.notes.filter((note) => note.start < end)).map((note) => ({ ...note, end: Math.min(note.end, end) })) };
}

// ---- asking the server ----------------------------------------------------------------------------------------

async function working(told, action, again) {
  running?.abort();
  const mine = (running = new AbortController());
  $("compose").textContent = say("stop");
  $("about").textContent = told;
  document.body.classList.add("busy");
  fail(null);
  try {
    await action(mine.signal);
  } catch (error) {
    if (mine === running) fail(error, again);
  }
  if (mine !== running) return;
  running = null;
  document.body.classList.remove("busy");
  $("compose").textContent = say("compose");
  $("about").textContent = piece.told;
}

function compose(from) {
  const { end, notes } = from ?? { end: 0, notes: [] };
  const body = { model: state.model || undefined, seconds: end + state.seconds, primer: notes, temperature: state.temperature, top_p: state.top_p, top_k: state.top_k, seed: state.seed < 0 ? undefined : state.seed };
  return working(say("composing"), async (signal) => {
    const made = await ask("/api/music/compose", body, signal);
    if (signal.aborted) return;
    const told = say("pieceMade", { s: made.seconds.toFixed(1), notes: grouped(made.notes.length), tokens: grouped(made.tokens), seed: made.seed });
    replace({ notes: made.notes, seconds: made.seconds, file: false, told }, Math.min(end, made.seconds));
  }, () => compose(from));
}

function open(file) {
  return working(say("reading"), async (signal) => {
    const read = await ask("/api/music/read", { model: state.model || undefined, midi: await base64(file) }, signal);
    if (signal.aborted) return;
    const told = say("fileRead", { name: file.name, s: read.seconds.toFixed(1), notes: grouped(read.notes.length) });
    replace({ notes: read.notes, seconds: read.seconds, file: true, told }, 0);
  }, () => open(file));
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}

async function save() {
  try {
    const file = await fetchFile("/api/music/midi", { notes: plain(piece.notes), model: piece.model });
    const link = h("a", { href: URL.createObjectURL(file), download: "gpt2lab.mid" });
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) {
    fail(error, save);
  }
}

// ---- the page -------------------------------------------------------------------------------------------------

function set(name) {
  return (value) => {
    state[name] = value;
    history.replaceState(null, "", addressOf(FIELDS, state));
  };
}

function togglePlay() {
  if (player.playing) player.pause();
  else player.play().then(drawPlay);
}

const seconds = (n) => say("secondsShow", { n });
const primerBox = slider({ name: "primer", stops: PRIMERS, value: state.primer, usual: FIELDS.primer, show: (n) => (n ? seconds(n) : say("wholeFile")), changed: set("primer") });
$("sliders").append(
  slider({ name: "seconds", stops: LENGTHS, value: state.seconds, usual: FIELDS.seconds, show: seconds, changed: set("seconds") }),
  primerBox,
  slider({ name: "temperature", stops: TEMPERATURES, value: state.temperature, usual: FIELDS.temperature, show: decimals(2), changed: set("temperature") }),
  slider({ name: "top_p", stops: TOP_PS, value: state.top_p, usual: FIELDS.top_p, show: off(1, decimals(2)), changed: set("top_p") }),
  slider({ name: "top_k", stops: TOP_KS, value: state.top_k, usual: FIELDS.top_k, show: off(0), changed: set("top_k") }),
);
$("compose").textContent = say("compose");
$("compose").addEventListener("click", () => (running ? running.abort() : compose(null)));
$("more").addEventListener("click", () => compose(beginning()));
$("play").addEventListener("click", togglePlay);
$("undo").addEventListener("click", () => show(past.pop()));
$("save").addEventListener("click", save);
$("open").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  if ($("file").files.length) open($("file").files[0]);
  $("file").value = "";
});
addEventListener("keydown", (event) => {
  if (event.key !== " " || event.target.closest("button, a, select, input, dialog")) return;
  event.preventDefault();
  togglePlay();
});
for (const name of ["dragover", "dragleave", "drop"]) {
  roll.element.addEventListener(name, (event) => {
    event.preventDefault();
    roll.element.classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
  });
}
addEventListener("resize", () => {
  roll.draw(piece.notes, piece.seconds);
  at(player.time, player.playing);
});

try {
  const known = await listModels();
  const { models } = await ask("/api/music/models");
  const names = new Set(models.map((model) => model.model));
  const able = known.filter((model) => names.has(model.id));
  $(able.length ? "studio" : "none").hidden = false;
  if (able.length) $("model").replaceChildren(modelMenu(able, state.model, set("model")));
  if (!names.has(state.model)) state.model = able[0]?.id ?? "";
} catch (error) {
  fail(error, () => location.reload());
}
show(NOTHING);
