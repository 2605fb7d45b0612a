// The live canvas: sliders, the picture under them, its traversals. memory.js says what may be drawn, pixels.js and
// drawing.js draw it, building.js makes the elements, picking.js chooses within a sheet, talking.js tells the server.

const LARGE = 384; // side of the large picture in CSS pixels, at most, where rows stand under it
const ALONE = 640; // and where none do
const TWO_COLUMNS = 520; // as in canvas.css: narrower than this, all stands in one column
const WIDE = 720; // as in canvas.css: from here on, titles stand beside their rows
const RETELL = 2000; // ms in which the server should have repeated a name

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".live");
  if (!root || !data) return;
  // This function runs again for each payload; what must outlive a payload lives on the node.
  root.live ??= new Live(root);
  root.live.talk.send = (what, event) => (what === "moved" ? setStateValue : setTriggerValue)(what, event);
  root.live.receive(...unpack(data));
  return () => root.live.close();
}

class Live {
  constructor(root) {
    this.find = (selector) => root.querySelector(selector);
    this.frame = this.find(".frame");
    this.picture = this.find(".picture");
    this.memory = new Memory();
    this.talk = new Talk(this.memory);
    this.picking = new Picking(this.find, (at) => this.pick(at));
    this.names = {}; // axis id -> name given here that the server has not repeated yet
    this.parts = new Map(); // axis id -> its elements
    this.held = ""; // axis id under the pointer or the arrow keys
    this.watch = new ResizeObserver(() => this.layout(false));
    this.watch.observe(root);
  }

  pick(at) {
    this.talk.send("picked", { at, revision: this.memory.header.revision });
  }

  close() {
    this.talk.hush();
    this.watch.disconnect();
  }

  receive(header, pixels) {
    if (this.memory.receive(header, pixels)) this.talk.restart();
    for (const { id, name } of header.axes) if (this.names[id] === name) delete this.names[id];
    this.picking.lay(header.cells);
    this.build();
    this.label();
    this.layout(true);
    this.show();
    this.describe();
    if (this.held) this.talk.want(this.held);
  }

  // -- drawing --------------------------------------------------------------------------------------------------

  show() {
    const { memory, picture } = this;
    const current = memory.current(this.talk.wanted);
    picture.dataset.state = current ? "ready" : "decoding";
    setText(this.find(".hero figcaption"), current ? this.caption(current) : "decoding…");
    if (current) {
      paint(picture, current);
      picture.dataset.values = JSON.stringify(memory.values);
      picture.dataset.frame = Number(picture.dataset.frame) + 1;
    }
    this.placeAll();
  }

  // Frames may be smaller than the picture, so that they fit into a message; then the caption says so.
  caption({ shape: [, w] }) {
    const { header, decoded } = this.memory;
    const smaller = Math.round(decoded.shape[1] / w);
    return smaller > 1 ? `${header.caption}; at 1/${smaller} of its size while it moves` : header.caption;
  }

  placeAll() {
    for (const id of this.parts.keys()) this.place(id);
  }

  // Put slider, number and mark of one axis where its value is.
  place(id) {
    const { slider, output, row, mark, pitch } = this.parts.get(id);
    const axis = this.memory.axes.get(id);
    const { stops, columns } = axis;
    const value = this.memory.values[id];
    const stop = nearest(stops, value);
    if (Number(slider.value) !== stop) slider.value = stop;
    slider.setAttribute("aria-valuetext", said(axis, value));
    setText(output, said(axis, value));
    if (!row) return;
    row.classList.toggle("stale", !this.memory.suits(this.memory.row(id), id));
    row.classList.toggle("held", id === this.held);
    mark.style.transform = `translateX(${nearest(columns.map((c) => stops[c]), value) * (pitch ?? 0)}px)`;
  }

  // The text alternative follows a drag only at its end: a screen reader should not hear every frame.
  describe() {
    if (this.picture.dataset.state !== "ready") return;
    const where = this.memory.header.axes.filter((axis) => !axis.folded)
      .map((axis) => `${this.name(axis) || axis.label} = ${said(axis, this.memory.values[axis.id])}`);
    const { cells } = this.memory.header;
    const what = [`decoded image${cells ? "s" : ""}`, where.join(", ")].filter(Boolean).join(" at ");
    this.picture.setAttribute("aria-label", cells ? `${what}. Arrows choose one, Enter opens it` : what);
  }

  // Sizes, which depend on the width only. Everything keeps its place after this, whatever is drawn.
  layout(changed) {
    const width = this.frame.clientWidth;
    const { header, decoded, original } = this.memory;
    if (!header || !width || (!changed && width === this.width)) return;
    this.width = width;
    const single = width < TWO_COLUMNS;
    const stage = single ? width : this.find(".stage").clientWidth;
    const [h, w] = decoded.shape;
    const most = header.axes.some((axis) => axis.columns.length) ? LARGE : ALONE;
    const small = scale(w, h, stage < 560 ? 64 : 128);
    const beside = (original ? w * small + 16 : 0) + this.find(".row-names").offsetWidth;
    // Leave a phone room for the sliders, unless the picture is all there is.
    const tall = single && most === LARGE ? 0.45 * window.innerHeight : most;
    const large = scale(w, h, Math.min(most, stage - beside), Math.min(most, tall), header.cells ? 2 : 1);
    sized(this.picture, w * large, h * large);
    const zoom = large * (window.devicePixelRatio || 1), whole = Math.abs(zoom - Math.round(zoom)) < 1e-6;
    this.picture.style.imageRendering = whole ? "" : "auto"; // average: leave no pixel out, and draw none twice as wide
    this.find(".origin").hidden = !original;
    if (original) {
      const canvas = this.find(".origin canvas");
      paint(canvas, original);
      sized(canvas, w * small, h * small);
    }
    const room = width < WIDE ? stage : stage - 96;
    for (const [id, part] of this.parts) {
      if (part.row) drawRow(part, this.memory.row(id)?.pictures, this.memory.axes.get(id), [h, w], room, single ? 0 : 2);
    }
  }

  // -- elements -------------------------------------------------------------------------------------------------

  // New elements only when other axes came; a slider that is being dragged must stay the same element.
  build() {
    const { axes } = this.memory.header;
    const form = JSON.stringify(axes.map(({ id, stops, columns, band, folded, names }) =>
      [id, stops, columns, band, folded, names]));
    if (form === this.form) return;
    this.form = form;
    this.parts.clear();
    this.held = "";
    const [list, fold, rows] = [".controls > .axes", ".fold .axes", ".rows"].map(this.find);
    for (const box of [list, fold, rows]) box.replaceChildren();
    let before = "";
    for (const axis of axes) {
      const part = buildControl(axis, this);
      (axis.folded ? fold : list).append(part.control);
      if (axis.columns.length) {
        const stops = JSON.stringify([axis.stops, axis.names]);
        buildRow(part, axis, stops !== before, this);
        before = stops;
        rows.append(part.row);
      }
      this.parts.set(axis.id, part);
    }
    this.find(".fold").hidden = !axes.some((axis) => axis.folded);
    this.frame.classList.toggle("bare", !axes.length); // nothing to move: the stage has all the room
  }

  // A person's own name, "" if there is none.
  name({ id, name }) {
    return this.names[id] ?? name;
  }

  // Texts, which may change with every payload.
  label() {
    const { axes, unit, fold } = this.memory.header;
    const amounts = axes.filter(({ nameable }) => nameable); // which have one unit; where there are none, all have
    const ends = new Set((amounts.length ? amounts : axes.filter(({ names }) => !names.length)).map(({ stops }) => `${trim(stops[0])}\u00a0…\u00a0${trim(stops.at(-1))}`));
    setText(this.find(".unit-text"), [unit, ends.size === 1 ? [...ends][0] : ""].filter(Boolean).join("; "));
    this.find(".legend").hidden = !axes.some((axis) => axis.band);
    setText(this.find(".fold summary"), fold || "More");
    for (const axis of axes) {
      const { name, label, note, slider, title, noted } = this.parts.get(axis.id);
      const own = this.name(axis);
      if (!name.matches(":focus")) name.value = own;
      name.placeholder = axis.label;
      name.setAttribute("aria-label", axis.nameable ? `Name of ${axis.label}` : axis.label);
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

  near(id) {
    if (!this.held) this.talk.near(id);
  }

  away() {
    this.talk.away();
  }

  grab(id) {
    if (this.held === id) return;
    this.settle(); // the move of another axis must be known before this one can be decoded
    this.held = id;
    this.talk.want(id);
    this.placeAll();
  }

  value(id) {
    return this.memory.values[id];
  }

  letGo() {
    this.held = "";
    this.placeAll();
  }

  move(id, value) {
    this.memory.values[id] = value;
    this.show();
  }

  release() {
    this.letGo();
    this.talk.report();
    this.describe();
  }

  soon() {
    this.talk.soon(() => this.release());
  }

  // Say now what waits for the keys to rest.
  settle() {
    if (this.talk.pause) this.release();
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
    const tell = () => this.talk.send("named", { axis: id, name });
    tell();
    // A trigger may be lost where a run of the page ends just then: once more, unless the server repeats the name.
    setTimeout(() => this.names[id] === name && tell(), RETELL);
  }
}
