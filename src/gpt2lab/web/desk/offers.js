// Three ways to go on, offered where the cursor is: they are written while the reader looks, and one is chosen by key.

import { h } from "../lib/view.js";
import { say } from "../lib/words.js";

const COUNT = 3;

export class Offers {
  // `accepted(text)` is called with the one chosen, `closed()` when they go away, `others()` when three more are wanted.
  constructor(editor, { accepted, closed, others }) {
    Object.assign(this, { editor, accepted, closed, others, element: null, texts: [], at: 0 });
  }

  get open() {
    return this.element !== null;
  }

  show(place) {
    this.hide();
    this.texts = Array(COUNT).fill("");
    this.at = 0;
    this.cards = this.texts.map((_, i) => h("button", { type: "button", id: `offer-${i}`, class: "offer writing", role: "option", tabIndex: -1, onpointermove: () => this.at !== i && this.select(i), onclick: () => this.accept(i) }, h("span", { class: "place" }, String(i + 1)), h("span", { class: "said" })));
    const keepFocus = (event) => event.preventDefault(); // the cursor stays where it is
    const list = h("div", { role: "listbox", id: "offers", "aria-label": say("suggestions") }, ...this.cards);
    const tools = h("div", { class: "tools" }, h("button", { type: "button", class: "quiet", tabIndex: -1, onclick: () => this.others() }, say("others")), h("button", { type: "button", class: "quiet", tabIndex: -1, onclick: () => this.hide() }, say("dismiss")));
    this.element = h("div", { class: "offers", onpointerdown: keepFocus }, list, tools);
    this.editor.element.append(this.element);
    const room = this.editor.element.clientWidth - this.element.offsetWidth - 12;
    this.element.style.left = `${Math.max(12, Math.min(place.left - 20, room))}px`;
    this.element.style.top = `${place.bottom + 8}px`;
    this.editor.area.setAttribute("aria-controls", "offers");
    this.select(0);
    this.element.scrollIntoView({ block: "nearest" });
  }

  // Replaces what offer number `i` says so far; `ended` when it will say no more.
  put(i, text, ended) {
    if (!this.open) return;
    this.texts[i] = text;
    this.cards[i].querySelector(".said").textContent = text.trimStart() || (ended ? say("nothing") : "");
    if (ended) this.cards[i].classList.remove("writing");
  }

  select(i) {
    this.at = (i + COUNT) % COUNT;
    this.cards.forEach((card, j) => card.setAttribute("aria-selected", String(j === this.at)));
    this.editor.area.setAttribute("aria-activedescendant", `offer-${this.at}`);
  }

  accept(i = this.at) {
    const text = this.texts[i];
    this.hide();
    if (text) this.accepted(text);
  }

  hide() {
    if (!this.open) return;
    this.element.remove();
    this.element = null;
    this.editor.area.removeAttribute("aria-activedescendant");
    this.editor.area.removeAttribute("aria-controls");
    this.closed();
  }

  // Does what a key asks for while offers are open; returns whether it was one of theirs.
  key(event) {
    const keys = { ArrowDown: () => this.select(this.at + 1), ArrowUp: () => this.select(this.at - 1), Enter: () => this.accept(), Tab: () => (event.shiftKey ? this.others() : this.accept()), Escape: () => this.hide() };
    const action = keys[event.key] ?? (/^[1-3]$/.test(event.key) ? () => this.accept(Number(event.key) - 1) : null);
    if (action) {
      event.preventDefault();
      action();
    } else if (event.key.length === 1 || event.key === "Backspace") this.hide();
    return action !== null && action !== undefined;
  }
}
