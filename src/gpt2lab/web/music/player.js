// Notes as sound by the browser's own oscillators; what is to be heard next is arranged a little ahead of the ear.
//
// A struck string is a sum of partials that fade, as in the package's synthesiser.

const AHEAD = 0.35; // seconds that are arranged
const EVERY = 100; // milliseconds between two looks
const RELEASE = 0.12;
const PARTIALS = 12;

export class Player {
  // `moved(seconds)` is called on each frame while it plays, `ended()` when it stops, for whatever reason.
  constructor({ moved, ended }) {
    Object.assign(this, { moved, ended, context: null, notes: [], seconds: 0, time: 0, playing: false });
  }

  load(notes, seconds) {
    this.pause();
    this.notes = [...notes].sort((a, b) => a.start - b.start);
    this.seconds = seconds;
    this.time = Math.min(this.time, seconds);
  }

  async play() {
    if (this.playing || !this.notes.length) return;
    this.context ??= new AudioContext();
    await this.context.resume();
    this.wave ??= this.context.createPeriodicWave(new Float32Array(PARTIALS + 1), Float32Array.from({ length: PARTIALS + 1 }, (_, n) => (n ? n ** -1.2 : 0)));
    if (this.time >= this.seconds - 0.01) this.time = 0;
    this.master = this.context.createDynamicsCompressor();
    this.master.connect(this.context.destination);
    this.playing = true;
    this.began = this.context.currentTime + 0.05 - this.time; // when the piece's beginning would have been
    this.next = this.notes.findIndex((note) => note.end > this.time);
    this.arrange();
    this.timer = setInterval(() => this.arrange(), EVERY);
    const frame = () => {
      if (!this.playing) return;
      this.time = Math.max(this.time, Math.min(this.seconds, this.context.currentTime - this.began));
      this.moved(this.time);
      if (this.time >= this.seconds) this.pause();
      else requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    clearInterval(this.timer);
    this.master.disconnect();
    this.ended();
  }

  seek(seconds) {
    const playing = this.playing;
    this.pause();
    this.time = seconds;
    if (playing) this.play();
  }

  arrange() {
    const until = this.context.currentTime + AHEAD - this.began;
    for (; this.next >= 0 && this.next < this.notes.length && this.notes[this.next].start < until; this.next += 1) {
      if (this.notes[this.next].end > this.time) this.sound(this.notes[this.next]);
    }
  }

  sound(note) {
    const start = Math.max(this.began + note.start, this.context.currentTime);
    const end = Math.max(this.began + note.end, start + 0.03);
    const first = 440 * 2 ** ((note.pitch - 69) / 12);
    const voice = new OscillatorNode(this.context, { frequency: first, periodicWave: this.wave });
    const loudness = this.context.createGain();
    const peak = 0.22 * (note.velocity / 127) ** 1.5;
    loudness.gain.setValueAtTime(0, start);
    loudness.gain.linearRampToValueAtTime(peak, start + 0.005);
    loudness.gain.setTargetAtTime(0, start + 0.005, 1 / (0.6 + first / 500));
    loudness.gain.setTargetAtTime(0, end, RELEASE / 3);
    voice.connect(loudness).connect(this.master);
    voice.start(start);
    voice.stop(end + 2 * RELEASE);
  }
}
