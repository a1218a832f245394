// Questions to the server that this page came from, and to no other.

import { h } from "./view.js";
import { say } from "./words.js";

let key = sessionStorage.getItem("gpt2lab.key");

export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

function headers() {
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

async function send(path, body, signal) {
  for (;;) {
    let answer;
    try {
      answer = await fetch(path, body === undefined ? { headers: headers(), signal } : { method: "POST", headers: headers(), body: JSON.stringify(body), signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError(say("unreachable"), 0);
    }
    if (answer.ok) return answer;
    if (answer.status === 401 && (await askForKey())) continue;
    let message = `${answer.status} ${answer.statusText}`;
    try {
      message = (await answer.json()).error.message;
    } catch {
      // What is no JSON says no more than its status.
    }
    throw new ServerError(message, answer.status);
  }
}

export async function ask(path, body, signal) {
  return (await send(path, body, signal)).json();
}

export async function fetchFile(path, body) {
  return (await send(path, body)).blob();
}

// Calls `onPiece(choice, data)` for each piece of a streamed completion, `data` being all that came with it.
export function streamCompletion(body, onPiece, signal) {
  return streamFrom("/v1/completions", body, onPiece, signal);
}

export async function streamFrom(path, body, onPiece, signal) {
  const answer = await send(path, { ...body, stream: true }, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", ended = false;
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new ServerError(say("unreachable"), 0);
    });
    if (done && ended) return;
    if (done) throw new ServerError(say("unreachable"), 0); // a text that nobody ended was cut off
    rest += value;
    const events = rest.split("\n\n");
    rest = events.pop();
    for (const event of events) {
      if (event === "data: [DONE]") ended = true;
      if (!event.startsWith("data: ") || event === "data: [DONE]") continue;
      const data = JSON.parse(event.slice(6));
      if (data.error) throw new ServerError(data.error.message, 500);
      for (const choice of data.choices) onPiece(choice, data);
    }
  }
}

export async function listModels() {
  return (await ask("/v1/models")).data;
}

function askForKey() {
  return new Promise((resolve) => {
    const input = h("input", { type: "password", autocomplete: "off", "aria-label": say("key") });
    const dialog = h(
      "dialog", {},
      h("form", { method: "dialog", onsubmit: () => { key = input.value.trim(); sessionStorage.setItem("gpt2lab.key", key); dialog.returnValue = "ok"; } },
        h("h2", {}, say("keyNeeded")), h("p", { class: "note" }, say("keyWhy")), input,
        h("div", { class: "row" }, h("button", { type: "button", class: "button", onclick: () => dialog.close("") }, say("cancel")), h("button", { class: "button strong" }, say("goOn")))),
    );
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "ok" && key !== ""); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
