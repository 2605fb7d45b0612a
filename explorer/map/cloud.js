// The points that the server sent: where they are, what is known of them, and in which colour each is drawn.

const FADED = 40; // alpha of what is not selected, of 255; even, for the lowest bit says that a point is full
const SOLID = 220;
const FULL = 1;

class Cloud {
  constructor() {
    this.count = 0;
    this.hidden = new Set(); // positions of classes that the legend turned off
    this.selected = null; // Uint8Array of 0 and 1, or null where nothing is
  }

  // Takes a payload; whether the points moved from where they were, to be shown as a move.
  receive(header, payload) {
    const typed = (part, Type) => part && new Type(payload.slice(part.offset, part.offset + product(part.shape)).buffer);
    const before = this.header;
    const [same, placed] = [before?.points === header.points, before?.revision === header.revision];
    const old = this.places;
    this.header = header;
    this.classes = typed(header.classes?.values, Uint16Array);
    this.ids = typed(header.ids, Uint32Array);
    this.amounts = typed(header.amount?.values, Float32Array);
    this.thumbnails = header.thumbnails && {
      shape: header.thumbnails.shape,
      pixels: payload.subarray(header.thumbnails.offset, header.thumbnails.offset + product(header.thumbnails.shape)),
    };
    if (!same || before.classes?.name !== header.classes?.name) this.hidden.clear();
    if (!placed) this.selected = null;
    if (placed) return false;
    this.normalise(typed(header.places, Float32Array));
    this.before = same && old?.length === this.places.length ? old : this.places;
    return this.before !== this.places;
  }

  // To units of the larger side, the middle at 0, so that every projection fills the screen alike.
  normalise(places) {
    this.count = places.length / 2;
    const [low, high] = [[Infinity, Infinity], [-Infinity, -Infinity]];
    for (let i = 0; i < places.length; i++) {
      low[i & 1] = Math.min(low[i & 1], places[i]);
      high[i & 1] = Math.max(high[i & 1], places[i]);
    }
    const sides = this.count ? [high[0] - low[0], high[1] - low[1]] : [0, 0];
    this.unit = Math.max(...sides) || 1;
    this.middle = this.count ? [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2] : [0, 0];
    this.half = sides.map((side) => Math.max(0.1, side / this.unit / 2));
    this.places = places.map((value, i) => (value - this.middle[i & 1]) / this.unit);
  }

  // Between the server's coordinates and those of the screen's plane.
  inward([x, y]) {
    return [(x - this.middle[0]) / this.unit, (y - this.middle[1]) / this.unit];
  }

  outward([x, y]) {
    return [x * this.unit + this.middle[0], y * this.unit + this.middle[1]];
  }

  shows(i) {
    return !this.classes || !this.hidden.has(this.classes[i]);
  }

  // The nearest point that is shown, and how far it is; -1 where there is none.
  nearest([x, y]) {
    let [best, least] = [-1, Infinity];
    for (let i = 0; i < this.count; i++) {
      const [dx, dy] = [this.places[2 * i] - x, this.places[2 * i + 1] - y];
      const square = dx * dx + dy * dy;
      if (square < least && this.shows(i)) [best, least] = [i, square];
    }
    return [best, Math.sqrt(least)];
  }

  // Uint8Array of r, g, b, alpha. `scale` is a table of 256 colours, `plain` is for points of which nothing is known.
  // Classes beyond the palette have its colours again, as rings.
  colours(scale, plain) {
    const { count, classes, amounts, selected, header } = this;
    const palette = header.palette.map(rgb);
    const rgba = new Uint8Array(4 * count);
    for (let i = 0; i < count; i++) {
      let colour = plain;
      if (amounts) colour = scale[Math.round(255 * share(amounts[i], header.amount))];
      else if (classes) colour = palette[classes[i] % palette.length];
      const faded = selected && !selected[i];
      rgba.set(faded ? plain : colour, 4 * i);
      const full = amounts || !classes || classes[i] < palette.length;
      rgba[4 * i + 3] = !this.shows(i) ? 0 : (faded ? FADED : SOLID) | (full ? FULL : 0);
    }
    return rgba;
  }
}

// How far up its scale an amount is, 0 to 1.
function share(value, { low, high }) {
  return Math.min(1, Math.max(0, high > low ? (value - low) / (high - low) : 0.5));
}

function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}
