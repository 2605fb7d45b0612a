// What is known, and so what may be drawn. One rule: a picture is right only for the exact values it was decoded at.
// Python sends, for each axis that it sends "frames" of, the pictures at all of its stops, decoded where the other axes
// stand. So while one axis moves, its frames hold every picture that is needed. A "strip" is smaller and rougher: the
// pictures of the axis's row in the traversals, and nothing else is drawn from it.

class Memory {
  constructor() {
    this.values = {}; // axis id -> where it stands here; ahead of the server while a person moves
    this.frames = new Map(); // axis id -> {images, base}: pictures, and where all axes stood for them
    this.strips = new Map(); // axis id -> the same for its row
  }

  // Take in a payload. The same revision: the person may have moved on since, so values here win. Another one: the
  // server's win, and true is returned.
  receive(header, pixels) {
    const take = (at) => at && { shape: at.shape, pixels: pixels.slice(at.offset, at.offset + product(at.shape)) };
    const base = Object.freeze(Object.fromEntries(header.axes.map((axis) => [axis.id, axis.value])));
    const anew = header.revision !== this.header?.revision;
    if (anew) {
      this.frames.clear();
      this.strips.clear();
    }
    // A copy: moving must never change what the pictures were decoded at.
    this.values = { ...base, ...(anew ? {} : pick(this.values, base)) };
    this.header = header;
    this.base = base;
    this.axes = new Map(header.axes.map((axis) => [axis.id, axis]));
    this.decoded = take(header.picture);
    this.original = take(header.original);
    for (const { id, frames, strip } of header.axes) {
      // An axis without frames keeps those it has: they are still right where the others stood for them.
      if (frames) this.frames.set(id, { images: take(frames), base });
      if (strip) this.strips.set(id, { images: take(strip), base });
      else if (frames) this.strips.delete(id);
    }
    return anew;
  }

  // Values travel as JSON and perhaps through float32, so they are compared with a tolerance well under a stop.
  same(id, a, b) {
    const stops = this.axes.get(id).stops;
    return Math.abs(a - b) <= 1e-4 * (stops.at(-1) - stops[0] || 1);
  }

  // Do pictures of this axis belong to where the other axes stand now?
  suits(pictures, id) {
    return Boolean(pictures) && this.header.axes.every((axis) => axis.id === id
      || (axis.id in pictures.base && this.same(axis.id, this.values[axis.id], pictures.base[axis.id])));
  }

  // Are there frames to drag this axis through?
  fits(id) {
    return this.suits(this.frames.get(id), id);
  }

  // The pictures of an axis's row, one per column, each {shape, pixels}; none where none were sent.
  row(id) {
    const columns = this.axes.get(id).columns;
    const strip = this.strips.get(id);
    if (strip) return { base: strip.base, pictures: columns.map((_, i) => nth(strip.images, i)) };
    const frames = this.frames.get(id);
    return frames && { base: frames.base, pictures: columns.map((stop) => nth(frames.images, stop)) };
  }

  // The picture for the present values, or null where none was sent. `first` is the axis to look at before others.
  current(first) {
    if (this.header.axes.every(({ id }) => this.same(id, this.values[id], this.base[id]))) return this.decoded;
    for (const id of [first, ...this.axes.keys()]) {
      if (!this.axes.has(id) || !this.fits(id)) continue;
      const stops = this.axes.get(id).stops;
      const stop = nearest(stops, this.values[id]);
      if (this.same(id, stops[stop], this.values[id])) return nth(this.frames.get(id).images, stop);
    }
    return null;
  }
}

const pick = (from, like) => Object.fromEntries(Object.keys(like).filter((id) => id in from).map((id) => [id, from[id]]));

// The stop nearest to a value. Stops are few, so a plain scan will do.
function nearest(stops, value) {
  let best = 0;
  for (let i = 1; i < stops.length; i++) if (Math.abs(stops[i] - value) < Math.abs(stops[best] - value)) best = i;
  return best;
}

// A value as text: of an axis whose stops have names, the name, also of the nearest stop where it stands beside that.
function said({ stops, names }, value) {
  if (!names.length) return fixed(value);
  const stop = nearest(stops, value);
  return stops[stop] === value ? names[stop] : `mostly ${names[stop]}`;
}

// Where a value lies on the track, 0 to 1. The slider runs over indices, so this interpolates between stops.
function position(stops, value) {
  if (value <= stops[0] || stops.length < 2) return 0;
  const next = stops.findIndex((stop) => stop >= value);
  if (next < 0) return 1;
  return (next - 1 + (value - stops[next - 1]) / (stops[next] - stops[next - 1])) / (stops.length - 1);
}
