// Which characters of a text the model has written, while the reader goes on changing the text.

export class MadeText {
  constructor() {
    this.text = "";
    this.ranges = []; // [start, end) of what the model wrote, in order
  }

  // Takes the text as it is now, with the cursor behind what is new; that is the reader's, or the model's if `made`.
  change(text, cursor, made = false) {
    const moved = text.length - this.text.length;
    const shorter = Math.max(0, Math.min(text.length, this.text.length, moved > 0 ? cursor - moved : cursor));
    let start = 0;
    while (start < shorter && text[start] === this.text[start]) start += 1;
    let same = 0;
    while (same < Math.min(text.length, this.text.length) - start && text[text.length - 1 - same] === this.text[this.text.length - 1 - same]) same += 1;
    const oldEnd = this.text.length - same;
    const ranges = [];
    for (const [from, to] of this.ranges) {
      if (from < start) ranges.push([from, Math.min(to, start)]);
      if (to > oldEnd) ranges.push([Math.max(from, oldEnd) + moved, to + moved]);
    }
    if (made && oldEnd + moved > start) ranges.push([start, oldEnd + moved]);
    this.ranges = ranges.filter(([from, to]) => to > from).sort((a, b) => a[0] - b[0]);
    this.text = text;
  }

  // The text as [part, class] for an editor.
  parts() {
    const parts = [];
    let at = 0;
    for (const [from, to] of this.ranges) {
      parts.push([this.text.slice(at, from), ""], [this.text.slice(from, to), "made"]);
      at = to;
    }
    return [...parts, [this.text.slice(at), ""]];
  }

  // The share of the text that the model wrote.
  get share() {
    const made = this.ranges.reduce((sum, [from, to]) => sum + to - from, 0);
    return this.text.length ? made / this.text.length : 0;
  }
}
