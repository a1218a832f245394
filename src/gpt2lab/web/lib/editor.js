// A text area over a drawing of the same text: the reader writes as ever, and the page can colour what is written.
//
// The text area's own letters are transparent; both have the same type and break their lines alike.

import { h } from "./view.js";

export class Editor {
  // `label`: for screen readers; `changed()` is called when the reader has typed; `drawn()` returns what to show.
  constructor({ label, placeholder, changed }) {
    this.area = h("textarea", { rows: 1, autocapitalize: "off", autocomplete: "off", placeholder, "aria-label": label });
    this.area.spellcheck = false;
    this.back = h("div", { class: "back", "aria-hidden": "true" });
    this.element = h("div", { class: "editor sheet" }, this.back, this.area);
    this.area.addEventListener("input", () => changed());
    this.plain = () => this.draw([[this.text, ""]]);
  }

  get text() {
    return this.area.value;
  }

  set text(value) {
    if (this.area.value !== value) this.area.value = value;
  }

  // Shows [text, class] parts, whose texts together are the whole one; what is typed beyond them stands as it is.
  draw(parts) {
    const shown = parts.map(([text, kind]) => (kind ? h("span", { class: kind }, text) : text));
    this.back.replaceChildren(...shown, "\u200b");
  }

  // Puts the cursor at the end.
  toEnd() {
    this.area.setSelectionRange(this.text.length, this.text.length);
  }

  // Replaces what is selected as typing would, so that the reader can undo it.
  insert(text) {
    this.area.focus();
    if (text === "") return;
    if (!document.execCommand("insertText", false, text)) {
      this.area.setRangeText(text, this.area.selectionStart, this.area.selectionEnd, "end");
      this.area.dispatchEvent(new Event("input"));
    }
  }

  // Where the character number `at` stands, relative to the editor: { left, top, bottom }.
  place(at) {
    const range = document.createRange();
    const walker = document.createTreeWalker(this.back, NodeFilter.SHOW_TEXT);
    let left = at;
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (left <= node.length) {
        range.setStart(node, left);
        range.setEnd(node, Math.min(left + 1, node.length));
        break;
      }
      left -= node.length;
    }
    const box = range.getClientRects()[0] ?? this.back.getBoundingClientRect();
    const around = this.element.getBoundingClientRect();
    return { left: box.left - around.left, top: box.top - around.top, bottom: box.bottom - around.top };
  }
}
