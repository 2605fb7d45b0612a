// The live canvas. Python sends, for each axis, the pictures at all of its stops ("a row"), decoded where the other
// axes stand. One rule decides what may be drawn: a picture is right only for the exact values it was decoded at.
// So while one axis moves, its row holds every picture that is needed, and the server is asked once, on release.

const COLUMNS = 11; // pictures in a row of the traversals
const HERO = 384; // side of the large picture in CSS pixels, at most
const KEY_PAUSE = 250; // ms after the last arrow key before its move is reported
const NARROW = 720; // as in canvas.css

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".live");
  if (!root || !data) return;
  // This function runs again for each payload; what must outlive a payload lives on the node.
  root.live ??= new Live(root);
  root.live.send = (event) => setStateValue("moved", event);
  root.live.receive(...unpack(data));
  return () => root.live.close();
}

// [u32 header length][JSON header][pixels] -> [header, pixels]
function unpack(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  return [header, bytes.subarray(4 + length)];
}

class Live {
  constructor(root) {
    this.find = (selector) => root.querySelector(selector);
    this.frame = this.find(".frame");
    this.picture = this.find(".picture");
    this.scratch = document.createElement("canvas"); // one picture at its own size, to scale from
    this.values = {}; // axis id -> where it stands here; ahead of the server while a person moves
    this.names = {}; // axis id -> name given here
    this.rows = new Map(); // axis id -> {frames, base}: the pictures, and where all axes stood for them
    this.parts = new Map(); // axis id -> its elements
    this.held = ""; // axis id under the pointer or the arrow keys
    this.wanted = ""; // axis id last grabbed
    this.last = ""; // last report, as text: the same thing is not said twice
    this.timer = 0;
    this.watch = new ResizeObserver(() => this.layout(false));
    this.watch.observe(root);
  }

  close() {
    this.cancel();
    this.watch.disconnect();
  }

  // -- what the server says ------------------------------------------------------------------------------------

  receive(header, pixels) {
    const size = header.shape[0] * header.shape[1] * header.shape[2];
    const at = (offset, count = 1) => pixels.slice(offset, offset + count * size);
    const base = Object.freeze(Object.fromEntries(header.axes.map((axis) => [axis.id, axis.value])));
    const known = header.revision === this.header?.revision;
    if (!known) {
      this.cancel();
      this.rows.clear();
      this.last = "";
    }
    // The same revision: the person may have moved on since, so values here win. Another one: the server's win.
    // A copy: moving must never change what the pictures were decoded at.
    this.values = { ...base, ...(known ? pick(this.values, base) : {}) };
    this.header = header;
    this.base = base;
    this.axes = new Map(header.axes.map((axis) => [axis.id, axis]));
    this.decoded = at(header.picture);
    this.original = header.original === null ? null : at(header.original);
    for (const axis of header.axes) {
      // An axis without frames keeps the row it has: that is still right where the others stood for it.
      if (axis.frames !== null) this.rows.set(axis.id, { frames: at(axis.frames, axis.stops.length), base });
    }
    this.build();
    this.label();
    this.layout(true);
    this.show();
    this.describe();
    this.ask();
  }

  // -- what is right to draw ------------------------------------------------------------------------------------

  // Values travel as JSON and perhaps through float32, so they are compared with a tolerance well under a stop.
  same(id, a, b) {
    const stops = this.axes.get(id).stops;
    return Math.abs(a - b) <= 1e-4 * (stops.at(-1) - stops[0] || 1);
  }

  // Does the row of this axis belong to where the other axes stand now?
  fits(id) {
    const row = this.rows.get(id);
    return Boolean(row) && this.header.axes.every((axis) =>
      axis.id === id || (axis.id in row.base && this.same(axis.id, this.values[axis.id], row.base[axis.id])));
  }

  // The pixels for the present values, or null where none were sent.
  current() {
    if (this.header.axes.every(({ id }) => this.same(id, this.values[id], this.base[id]))) return this.decoded;
    for (const id of [this.wanted, ...this.axes.keys()]) {
      if (!this.axes.has(id) || !this.fits(id)) continue;
      const stops = this.axes.get(id).stops;
      const stop = nearest(stops, this.values[id]);
      if (this.same(id, stops[stop], this.values[id])) return this.cell(id, stop);
    }
    return null;
  }

  cell(id, stop) {
    const size = this.decoded.length;
    return this.rows.get(id).frames.subarray(stop * size, (stop + 1) * size);
  }

  // -- drawing --------------------------------------------------------------------------------------------------

  show() {
    const pixels = this.current();
    this.picture.dataset.state = pixels ? "ready" : "decoding";
    setText(this.find(".hero figcaption"), pixels ? "decoded" : "decoding…");
    if (pixels) {
      paint(this.picture, pixels, this.header.shape);
      this.picture.dataset.values = JSON.stringify(this.values);
      this.picture.dataset.frame = Number(this.picture.dataset.frame) + 1;
    }
    this.placeAll();
  }

  placeAll() {
    for (const id of this.parts.keys()) this.place(id);
  }

  // Put slider, number and mark of one axis where its value is.
  place(id) {
    const { slider, output, row, mark, columns, pitch } = this.parts.get(id);
    const { stops } = this.axes.get(id);
    const stop = nearest(stops, this.values[id]);
    if (Number(slider.value) !== stop) slider.value = stop;
    slider.setAttribute("aria-valuetext", fixed(this.values[id]));
    setText(output, fixed(this.values[id]));
    if (!row) return;
    row.classList.toggle("stale", !this.fits(id));
    row.classList.toggle("held", id === this.held);
    mark.style.transform = `translateX(${nearest(columns.map((c) => stops[c]), this.values[id]) * (pitch ?? 0)}px)`;
  }

  // The text alternative follows a drag only at its end: a screen reader should not hear every frame.
  describe() {
    if (this.picture.dataset.state !== "ready") return;
    const where = this.header.axes.filter((axis) => !axis.folded)
      .map((axis) => `${this.name(axis)} = ${fixed(this.values[axis.id])}`);
    this.picture.setAttribute("aria-label", `decoded image at ${where.join(", ")}`);
  }

  // Sizes, which depend on the width only. Everything keeps its place after this, whatever is drawn.
  layout(changed) {
    const width = this.frame.clientWidth;
    if (!this.header || !width || (!changed && width === this.width)) return;
    this.width = width;
    const narrow = width < NARROW;
    const stage = narrow ? width : this.find(".stage").clientWidth;
    const [h, w] = this.header.shape;
    const small = scale(w, h, stage < 560 ? 64 : 128);
    const beside = this.original ? w * small + 16 : 0;
    const tall = narrow ? 0.45 * window.innerHeight : HERO; // leave a phone room for the sliders
    const large = scale(w, h, Math.min(HERO, stage - beside), Math.min(HERO, tall));
    sized(this.picture, w * large, h * large);
    this.find(".origin").hidden = !this.original;
    if (this.original) {
      const canvas = this.find(".origin canvas");
      paint(canvas, this.original, this.header.shape);
      sized(canvas, w * small, h * small);
    }
    const gap = narrow ? 0 : 2;
    for (const [id, part] of this.parts) if (part.row) this.drawRow(id, part, narrow ? stage : stage - 96, gap);
  }

  drawRow(id, part, room, gap) {
    const { stops } = this.axes.get(id);
    const [h, w] = this.header.shape;
    const count = part.columns.length;
    // As wide as if there were all columns, so that rows of different axes line up.
    const zoom = scale(w, h, (room - gap * (COLUMNS - 1)) / COLUMNS, HERO / 2);
    const ratio = window.devicePixelRatio || 1;
    const [across, down, between] = [w * zoom, h * zoom, gap].map((side) => Math.round(side * ratio));
    const canvas = part.cells;
    canvas.width = count * (across + between) - between;
    canvas.height = down;
    sized(canvas, canvas.width / ratio, canvas.height / ratio);
    part.pitch = (across + between) / ratio;
    part.mark.style.width = `${across / ratio}px`;
    part.mark.style.height = `${down / ratio}px`;
    this.drawHeads(part, stops, across / ratio);
    if (!this.rows.has(id)) return;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = zoom * ratio < 1; // average where pixels are left out, keep them crisp otherwise
    context.imageSmoothingQuality = "high";
    part.columns.forEach((stop, i) => {
      paint(this.scratch, this.cell(id, stop), this.header.shape);
      context.drawImage(this.scratch, i * (across + between), 0, across, down);
    });
  }

  // Headings stand over the first row and again wherever the stops change.
  drawHeads(part, stops, width) {
    if (!part.heads) return;
    const all = width >= 25;
    const digits = Math.max(0, Math.min(2, Math.ceil(0.5 - Math.log10((stops.at(-1) - stops[0]) / COLUMNS || 1))));
    part.heads.replaceChildren(...part.columns.map((stop, i) => {
      const shown = all || i === 0 || i === part.columns.length - 1 || 2 * i === part.columns.length - 1;
      const head = element("span", "", shown ? fixed(stops[stop], digits) : "");
      head.style.left = `${i * part.pitch + width / 2 - 20}px`;
      return head;
    }));
  }

  // -- building -------------------------------------------------------------------------------------------------

  // New elements only when other axes came; a slider that is being dragged must stay the same element.
  build() {
    const shape = JSON.stringify([this.header.axes.map(({ id, stops, band, folded }) => [id, stops, band, folded])]);
    if (shape === this.shape) return;
    this.shape = shape;
    this.parts.clear();
    this.held = "";
    const lists = [this.find(".controls > .axes"), this.find(".fold .axes"), this.find(".rows")];
    for (const list of lists) list.replaceChildren();
    let before = "";
    for (const axis of this.header.axes) {
      const part = this.control(axis);
      lists[axis.folded ? 1 : 0].append(part.control);
      if (!axis.folded) {
        const stops = JSON.stringify(axis.stops);
        Object.assign(part, this.traversal(axis, stops !== before));
        before = stops;
        lists[2].append(part.row);
      }
      this.parts.set(axis.id, part);
    }
    this.find(".fold").hidden = !this.header.axes.some((axis) => axis.folded);
  }

  control({ id, stops, band }) {
    const control = element("div", "axis");
    const line = element("div", "line");
    const name = element("input", "name");
    Object.assign(name, { type: "text", maxLength: 60, spellcheck: false, autocomplete: "off" });
    name.title = "Give this axis a name";
    const [label, note, output] = [element("span", "label"), element("span", "note"), element("output", "")];
    output.setAttribute("aria-hidden", "true"); // the slider says the same as its value
    line.append(name, label, note, output);

    const track = element("div", "track");
    const scale = element("div", "scale");
    if (band) scale.append(span("band", position(stops, band[0]), position(stops, band[1])));
    if (stops[0] <= 0 && stops.at(-1) >= 0) scale.append(span("zero", position(stops, 0)));
    const slider = element("input", "");
    Object.assign(slider, { type: "range", min: 0, max: stops.length - 1, step: 1 });
    slider.title = "Drag, or use the arrow keys. Double-click: back to 0";
    track.append(element("div", "rail"), scale, slider);
    control.append(line, track);

    // A change by arrow keys comes with every press, one by pointer only on release.
    let byKey = false;
    slider.addEventListener("keydown", () => (byKey = true));
    slider.addEventListener("pointerdown", () => ((byKey = false), this.grab(id)));
    slider.addEventListener("input", () => {
      const stop = stops[slider.value]; // before grabbing, which puts every slider where its axis stands
      this.grab(id);
      this.move(id, stop);
    });
    slider.addEventListener("change", () => (byKey ? this.soon() : this.release()));
    slider.addEventListener("pointerup", () => this.letGo()); // a press without a move brings no change
    slider.addEventListener("pointercancel", () => this.release());
    slider.addEventListener("blur", () => this.settle());
    slider.addEventListener("dblclick", () => this.jump(id, stops[nearest(stops, 0)]));
    name.addEventListener("change", () => this.rename(id, name.value.trim()));
    for (const type of ["keydown", "keypress", "keyup"]) {
      name.addEventListener(type, (event) => event.stopPropagation()); // typed letters are no shortcuts of the page
    }
    name.addEventListener("keydown", (event) => event.key === "Enter" && name.blur());
    return { control, name, label, note, output, slider };
  }

  traversal({ id, stops }, headed) {
    const row = element("div", "row");
    const heads = headed ? element("div", "heads") : null;
    const who = element("div", "who");
    const [title, noted] = [element("span", "title"), element("span", "note")];
    who.append(title, noted);
    const [box, cells, mark] = [element("div", "cells"), element("canvas", ""), element("div", "mark")];
    cells.setAttribute("aria-hidden", "true");
    box.append(cells, mark);
    row.append(...(heads ? [heads] : []), who, box);
    const columns = columnsOf(stops.length);
    box.addEventListener("click", (event) => {
      const column = Math.floor((event.clientX - box.getBoundingClientRect().left) / this.parts.get(id).pitch);
      this.jump(id, stops[columns[Math.max(0, Math.min(columns.length - 1, column))]]);
    });
    return { row, heads, title, noted, cells, mark, columns };
  }

  name({ id, label, name }) {
    return (this.names[id] ?? name) || label;
  }

  // Texts, which may change with every payload. A name is a person's own text: value and textContent only.
  label() {
    const { axes, unit, fold } = this.header;
    const ends = new Set(axes.map(({ stops }) => `${trim(stops[0])} … ${trim(stops.at(-1))}`));
    setText(this.find(".unit-text"), [unit, ends.size === 1 ? [...ends][0] : ""].filter(Boolean).join("; "));
    this.find(".legend").hidden = !axes.some((axis) => axis.band);
    setText(this.find(".fold summary"), fold || "More");
    for (const axis of axes) {
      const { name, label, note, slider, title, noted } = this.parts.get(axis.id);
      const own = this.names[axis.id] ?? axis.name;
      if (!name.matches(":focus")) name.value = own;
      name.placeholder = axis.label;
      name.setAttribute("aria-label", `Name of ${axis.label}`);
      setText(label, own ? axis.label : "");
      label.hidden = !own;
      setText(note, axis.note);
      slider.setAttribute("aria-label", own ? `${own} (${axis.label})` : axis.label);
      if (!title) continue;
      setText(title, own || axis.label);
      title.title = own || axis.label;
      setText(noted, axis.note);
    }
  }

  // -- what the person does -------------------------------------------------------------------------------------

  grab(id) {
    if (this.held === id) return;
    this.settle(); // the move of another axis must be known before this one can be decoded
    this.held = this.wanted = id;
    this.ask();
    this.placeAll();
  }

  letGo() {
    this.held = "";
    this.placeAll();
  }

  move(id, value) {
    this.values[id] = value;
    this.show();
  }

  release() {
    this.letGo();
    this.report();
  }

  jump(id, value) {
    this.grab(id);
    this.move(id, value);
    this.release();
  }

  rename(id, name) {
    this.names[id] = name;
    this.label();
    this.describe();
    this.report();
  }

  // -- what the server hears ------------------------------------------------------------------------------------

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.settle(), KEY_PAUSE);
  }

  // Say now what waits for the keys to rest.
  settle() {
    if (this.timer) this.release();
  }

  cancel() {
    clearTimeout(this.timer);
    this.timer = 0;
  }

  // A held axis that the last payload left out is asked for at once; one that it had is on its way already.
  ask() {
    if (this.held && this.axes.get(this.held)?.frames === null && !this.fits(this.held)) this.report();
  }

  report() {
    this.cancel();
    this.describe();
    const { values, wanted, names } = this;
    const event = { values: { ...values }, wanted, names: { ...names }, revision: this.header.revision };
    const text = JSON.stringify(event);
    if (text === this.last) return;
    this.last = text;
    this.send(event);
  }
}

// -- small things -----------------------------------------------------------------------------------------------

const pick = (from, like) => Object.fromEntries(Object.keys(like).filter((id) => id in from).map((id) => [id, from[id]]));

// The stop nearest to a value. Rows are short, so a plain scan will do.
function nearest(stops, value) {
  let best = 0;
  for (let i = 1; i < stops.length; i++) if (Math.abs(stops[i] - value) < Math.abs(stops[best] - value)) best = i;
  return best;
}

// Where a value lies on the track, 0 to 1. The slider runs over indices, so this interpolates between stops.
function position(stops, value) {
  if (value <= stops[0] || stops.length < 2) return 0;
  const next = stops.findIndex((stop) => stop >= value);
  if (next < 0) return 1;
  return (next - 1 + (value - stops[next - 1]) / (stops[next] - stops[next - 1])) / (stops.length - 1);
}

// First, last, and evenly between: 11 of 41 stops hit the middle one too.
function columnsOf(count) {
  const columns = Math.min(COLUMNS, count);
  return Array.from({ length: columns }, (_, i) => (columns < 2 ? 0 : Math.round((i * (count - 1)) / (columns - 1))));
}

// The largest zoom in CSS pixels at which each image pixel is a whole number of device pixels, or 1/2, 1/3, … of one.
function scale(w, h, width, height = width) {
  const ratio = window.devicePixelRatio || 1;
  const free = Math.min(width / w, height / h) * ratio;
  return (free >= 1 ? Math.floor(free) : 1 / Math.ceil(1 / Math.max(free, 1 / Math.max(w, h)))) / ratio;
}

function sized(canvas, width, height) {
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
}

// Grey or RGB bytes onto a canvas of the picture's own size; CSS makes it large.
function paint(canvas, pixels, [h, w, c]) {
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const context = canvas.getContext("2d");
  const image = (canvas.image ??= {})[`${w}x${h}`] ??= context.createImageData(w, h);
  const rgba = image.data;
  for (let from = 0, to = 0; from < pixels.length; from += c, to += 4) {
    rgba[to] = pixels[from];
    rgba[to + 1] = pixels[c === 3 ? from + 1 : from];
    rgba[to + 2] = pixels[c === 3 ? from + 2 : from];
    rgba[to + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// Two decimals, a real minus, and no "−0.00".
function fixed(value, digits = 2) {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

const trim = (value) => String(Number(value.toFixed(2))).replace("-", "−");

function element(tag, className, text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

function span(className, from, to = from) {
  const node = element("div", className);
  node.style.left = `${100 * from}%`;
  if (to > from) node.style.width = `${100 * (to - from)}%`;
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
