// What the server hears: where the axes stand, once, when a move ends; and which axis a person is about to move, where
// its frames are not here yet.

const KEY_PAUSE = 250; // ms after the last arrow key before its move is reported
const NEAR = 80; // ms that a pointer must rest on an axis before its frames are asked for

class Talk {
  constructor(memory) {
    this.memory = memory;
    this.wanted = ""; // axis id last grabbed, or about to be
    this.last = ""; // last report, as text: the same thing is not said twice
    this.pause = 0; // timer of a move that waits for the keys to rest
    this.dwell = 0; // timer of a pointer that rests
  }

  // Told a new start: what was said of the old one no longer counts.
  restart() {
    this.hush();
    this.last = "";
  }

  hush() {
    clearTimeout(this.pause);
    clearTimeout(this.dwell);
    this.pause = this.dwell = 0;
  }

  soon(say) {
    clearTimeout(this.pause);
    this.pause = setTimeout(say, KEY_PAUSE);
  }

  near(id) {
    clearTimeout(this.dwell);
    this.dwell = setTimeout(() => this.want(id), NEAR);
  }

  away() {
    clearTimeout(this.dwell);
  }

  // Frames that the last payload left out are asked for; those that it had are here or on their way.
  want(id) {
    this.wanted = id;
    if (this.memory.axes.get(id)?.frames === null && !this.memory.fits(id)) this.report();
  }

  report() {
    this.hush();
    const { values, header } = this.memory;
    const event = { values: { ...values }, wanted: this.wanted, revision: header.revision };
    const text = JSON.stringify(event);
    if (text === this.last) return;
    this.last = text;
    this.send("moved", event);
  }
}
