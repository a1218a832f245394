// One field of an article: its name, its text, a button that writes it, and a way back to what stood there before.

import { Editor } from "../lib/editor.js";
import { h } from "../lib/view.js";
import { say } from "../lib/words.js";

export class Box {
  // `write(box)` is called when the reader wants it written or stopped, `changed()` whenever its text is another.
  constructor(name, { write, changed }) {
    this.name = name;
    this.label = say(`field_${name}`);
    this.made = false; // whether the text is the model's
    this.earlier = []; // { text, made }, which "undo" brings back
    this.editor = new Editor({ label: this.label, placeholder: say(`example_${name}`), changed: () => { this.made = false; this.draw(); changed(); } });
    this.button = h("button", { type: "button", class: "button", disabled: true, onclick: () => write(this) }, say("write"));
    this.undo = h("button", { type: "button", class: "quiet", "aria-label": say("undoField", { field: this.label }), hidden: true, onclick: () => { Object.assign(this, this.earlier.at(-1)); this.earlier.pop(); this.draw(); changed(); } }, "↶");
    this.note = h("p", { class: "note" });
    this.element = h("div", { class: `box ${name}` }, h("div", { class: "head" }, h("h2", {}, this.label), this.undo, this.button), this.editor.element, this.note);
    this.running = false;
    this.draw();
  }

  get text() {
    return this.editor.text;
  }

  set text(value) {
    this.editor.text = value;
  }

  // Puts away what stands there, which can be brought back, and waits for the model's text.
  start() {
    if (this.text) this.earlier.push({ text: this.text, made: this.made });
    this.text = "";
    this.made = true;
    this.running = true;
    this.editor.area.readOnly = true;
    this.note.textContent = "";
    this.draw();
  }

  add(text) {
    this.text += text;
    this.draw();
  }

  // `said`: what else is to be told of the text.
  end(said) {
    this.running = false;
    this.editor.area.readOnly = false;
    this.note.textContent = said;
    this.draw();
  }

  draw() {
    this.editor.draw([[this.text, this.made ? "made" : ""]]);
    this.element.classList.toggle("writing", this.running);
    this.button.textContent = say(this.running ? "stop" : "write");
    this.button.setAttribute("aria-label", say(this.running ? "stopField" : "writeField", { field: this.label }));
    this.undo.hidden = this.running || this.earlier.length === 0;
  }
}
