// A piano roll: time to the right, pitch upwards, a bar for each note, darker the louder, and a line where it plays.

import { h, svg } from "../lib/view.js";
import { say } from "../lib/words.js";

const AXIS = 20; // pixels below the notes, for the seconds
const LEAST_PER_SECOND = 26;
const MOST_WIDTH = 16000;
const BLACK = new Set([1, 3, 6, 8, 10]);
const STEPS = [1, 2, 5, 10, 30, 60];

export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export class Roll {
  // `sought(seconds)` is called with the time that the reader points at or goes to by key.
  constructor({ sought }) {
    this.sought = sought;
    this.octaves = h("div", { class: "octaves", "aria-hidden": "true" });
    this.scroll = h("div", { class: "scroll", tabIndex: 0, role: "slider", "aria-label": say("position"), "aria-valuemin": "0" });
    this.nothing = h("p", { class: "nothing" }, say("noNotes"));
    this.element = h("div", { class: "roll sheet" }, this.octaves, this.scroll, this.nothing);
    this.scroll.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && this.svg && event.target.closest("svg")) this.sought(this.timeAt(event.clientX));
    });
    this.scroll.addEventListener("keydown", (event) => this.key(event));
    this.draw([], 0);
  }

  timeAt(x) {
    return Math.max(0, Math.min(this.seconds, (x - this.svg.getBoundingClientRect().left) / this.perSecond));
  }

  key(event) {
    const to = { ArrowLeft: this.time - 1, ArrowRight: this.time + 1, PageUp: this.time + 10, PageDown: this.time - 10, Home: 0, End: this.seconds }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.sought(Math.max(0, Math.min(this.seconds, to)));
  }

  draw(notes, seconds) {
    this.notes = notes;
    this.seconds = Math.max(seconds, 0.001);
    this.nothing.hidden = notes.length > 0;
    const pitches = notes.map((note) => note.pitch);
    const low = Math.floor(Math.min(48, ...pitches) / 12) * 12;
    const high = Math.floor(Math.max(72, ...pitches) / 12) * 12 + 11;
    const height = (this.element.clientHeight || 360) - 2 - AXIS - 12; // the scroll bar's room
    const row = height / (high - low + 1);
    const width = this.element.clientWidth - this.octaves.offsetWidth - 2 || 600;
    this.perSecond = Math.min(Math.max(LEAST_PER_SECOND, width / this.seconds), MOST_WIDTH / this.seconds);
    const whole = Math.max(width, this.seconds * this.perSecond);
    const y = (pitch) => (high - pitch) * row;
    const parts = [];
    for (let pitch = low; pitch <= high; pitch += 1) {
      if (BLACK.has(pitch % 12)) parts.push(svg("rect", { class: "black", x: 0, y: y(pitch), width: whole, height: row }));
      if (pitch % 12 === 0) parts.push(svg("line", { class: "line", x1: 0, x2: whole, y1: y(pitch) + row, y2: y(pitch) + row }));
    }
    const every = STEPS.find((step) => step * this.perSecond >= 40) ?? 60;
    for (let second = every; notes.length && second < this.seconds; second += every) {
      const x = second * this.perSecond;
      parts.push(svg("line", { class: "line", x1: x, x2: x, y1: 0, y2: height }), svg("text", { class: "second", x, y: height + 15, "text-anchor": "middle" }, clock(second)));
    }
    this.bars = notes.map((note) => svg("rect", {
      class: note.given ? "note given" : "note", x: (note.start * this.perSecond).toFixed(2), y: y(note.pitch).toFixed(2),
      width: Math.max(1.5, (note.end - note.start) * this.perSecond - 0.5).toFixed(2), height: Math.max(1.5, row - 0.5).toFixed(2), rx: Math.min(2, row / 3).toFixed(2),
      "fill-opacity": (0.4 + (0.6 * note.velocity) / 127).toFixed(2),
    }));
    this.head = svg("line", { class: "head", x1: 0, x2: 0, y1: 0, y2: height });
    if (!notes.length) this.head.setAttribute("visibility", "hidden");
    this.svg = svg("svg", { width: whole, height: height + AXIS, "aria-hidden": "true" }, ...parts, ...this.bars, this.head);
    this.scroll.replaceChildren(this.svg);
    this.octaves.replaceChildren(...Array.from({ length: (high - low + 1) / 12 }, (_, i) => {
      const name = h("span", {}, `C${low / 12 + i - 1}`);
      name.style.top = `${y(low + 12 * i) + row}px`;
      return name;
    }));
    this.scroll.setAttribute("aria-valuemax", this.seconds.toFixed(1));
    this.at(Math.min(this.time ?? 0, this.seconds), false);
  }

  // Puts the line at a time; `sounding`: colour what sounds there and keep the line in sight.
  at(time, sounding) {
    this.time = time;
    const x = time * this.perSecond;
    this.head.setAttribute("transform", `translate(${x.toFixed(2)} 0)`);
    this.scroll.setAttribute("aria-valuenow", time.toFixed(1));
    this.scroll.setAttribute("aria-valuetext", clock(time));
    this.notes.forEach((note, i) => {
      const now = sounding && note.start <= time && time < note.end;
      if (now !== this.bars[i].classList.contains("now")) this.bars[i].classList.toggle("now", now);
    });
    const left = this.scroll.scrollLeft;
    if (sounding && (x < left || x > left + this.scroll.clientWidth - 30)) this.scroll.scrollLeft = x - 40;
  }

  // Brings a time into sight.
  show(time) {
    this.scroll.scrollLeft = time * this.perSecond - this.scroll.clientWidth / 3;
  }
}
