// The drawing pad. A drawing is a list of strokes, each points in 0…1 of the pad's side and a width; Python gets the
// list when a stroke ends, and makes the picture from it by itself.

const STEP = 0.006; // points nearer than this are left out, except the last of a stroke
const FAR = 0.5; // how far outside the pad a stroke may go
const MOVE = 0.025; // one press of an arrow key
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const LABEL = "Drawing pad. Arrow keys move the brush, space puts it down and lifts it, Ctrl+Z takes back";

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".pad");
  if (!root || !data) return;
  root.pad ??= new Pad(root, data); // this function runs again with each rerun; the drawing lives on the node
  root.style.width = `${data.size}px`;
  root.querySelector(".paper").style.backgroundImage = data.under ? `url(${data.under})` : "";
  root.pad.send = (strokes) => setStateValue("drawing", { strokes });
  return () => root.pad.watch.disconnect();
}

class Pad {
  constructor(root, { width, under, strokes, most_strokes, most_points }) {
    this.find = (selector) => root.querySelector(selector);
    this.most = { strokes: most_strokes, points: most_points };
    this.veil = Boolean(under); // ink over a picture, which shows through
    if (this.veil) root.classList.add("veil");
    if (this.veil) this.find(".hint").textContent = "Paint what to hide";
    this.strokes = strokes;
    this.past = []; // drawings before this one, oldest first
    this.future = []; // drawings that were taken back
    this.open = null; // the stroke being drawn
    this.latest = null; // the newest point of that stroke, which may have been too near to be kept
    this.pointer = null; // id of the pointer that draws it; null: the keyboard does
    this.cursor = [0.5, 0.5]; // of the keyboard
    this.erase = false;
    this.full = false; // no stroke was begun because nothing more may be sent
    this.canvas = this.find("canvas");
    this.canvas.setAttribute("aria-label", LABEL);
    const slider = this.find(".width input");
    slider.value = Math.round(100 * width);
    slider.addEventListener("input", () => this.show());
    this.listen();
    this.watch = new ResizeObserver(() => this.fit());
    this.watch.observe(this.canvas);
    this.fit();
    this.show();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    // However a pointer goes, its capture is lost at the end, so this one event ends every stroke.
    canvas.addEventListener("lostpointercapture", (event) => event.pointerId === this.pointer && this.finish());
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => this.show());
    canvas.addEventListener("blur", () => (this.finish(), this.show()));
    for (const [tool, act] of Object.entries({
      brush: () => (this.erase = false),
      eraser: () => (this.erase = true),
      undo: () => this.travel(this.past, this.future),
      redo: () => this.travel(this.future, this.past),
      clear: () => this.change([]),
    })) {
      this.find(`.${tool}`).addEventListener("click", () => (act(), this.show()));
    }
  }

  get width() {
    return this.find(".width input").value / 100;
  }

  // -- strokes ----------------------------------------------------------------------------------------------------

  begin(point) {
    const used = this.strokes.reduce((sum, stroke) => sum + stroke.points.length, 0);
    this.room = this.most.points - used;
    if (this.strokes.length >= this.most.strokes || this.room < 2) {
      this.full = true;
      return this.show();
    }
    this.open = { points: [point], width: this.width, erase: this.erase };
    this.ink(this.open.points, this.open);
    this.show();
  }

  extend(point, last = false) {
    const { points } = this.open;
    const before = points.at(-1);
    const distance = Math.hypot(point[0] - before[0], point[1] - before[1]);
    if (points.length >= this.room || distance < (last ? 1e-4 : STEP)) return;
    points.push(point);
    this.ink([before, point], this.open);
  }

  finish() {
    const stroke = this.open;
    if (stroke && this.latest) this.extend(this.latest, true);
    this.open = this.latest = this.pointer = null;
    if (stroke) this.change([...this.strokes, stroke]);
  }

  change(strokes) {
    if (!strokes.length && !this.strokes.length) return;
    this.past.push(this.strokes);
    this.future = [];
    this.adopt(strokes);
  }

  travel(from, to) {
    this.finish();
    if (!from.length) return;
    to.push(this.strokes);
    this.adopt(from.pop());
  }

  adopt(strokes) {
    this.strokes = strokes;
    this.full = false;
    this.redraw();
    this.show();
    this.send(strokes);
  }

  // -- pointer and keys -------------------------------------------------------------------------------------------

  down(event) {
    if (!event.isPrimary || event.button !== 0) return;
    this.finish(); // a stroke of the keyboard
    this.pointer = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.begin(this.at(event));
  }

  drag(event) {
    if (event.pointerId !== this.pointer || !this.open) return;
    const between = event.getCoalescedEvents?.() ?? []; // what the browser merged into one event
    for (const each of between.length ? between : [event]) this.extend((this.latest = this.at(each)));
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return place([(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height], FAR);
  }

  key(event) {
    const command = event.ctrlKey || event.metaKey;
    const letter = event.key.toLowerCase();
    if (command && letter === "z" && !event.shiftKey) this.travel(this.past, this.future);
    else if (command && (letter === "y" || letter === "z")) this.travel(this.future, this.past);
    else if (!command && event.key === " ") event.repeat || this.pen();
    else if (!command && event.key in DIRECTIONS) this.walk(DIRECTIONS[event.key]);
    else return;
    event.preventDefault(); // the page does not scroll
    event.stopPropagation();
  }

  pen() {
    if (this.open) this.finish();
    else this.begin(this.cursor);
    this.show();
  }

  walk([dx, dy]) {
    this.cursor = place([this.cursor[0] + dx * MOVE, this.cursor[1] + dy * MOVE], 0);
    if (this.open && this.pointer === null) this.extend(this.cursor, true);
    this.show();
  }

  // -- what is seen -----------------------------------------------------------------------------------------------

  fit() {
    const side = Math.round(this.canvas.clientWidth * (window.devicePixelRatio || 1));
    if (!side || side === this.canvas.width) return;
    this.canvas.width = this.canvas.height = side;
    this.redraw();
  }

  redraw() {
    const context = this.canvas.getContext("2d");
    context.fillStyle = "#000";
    context[this.veil ? "clearRect" : "fillRect"](0, 0, this.canvas.width, this.canvas.width);
    for (const stroke of this.open ? [...this.strokes, this.open] : this.strokes) this.ink(stroke.points, stroke);
  }

  ink(points, { width, erase }) {
    const context = this.canvas.getContext("2d");
    const side = this.canvas.width;
    context.strokeStyle = this.veil ? "#818cf8" : erase ? "#000" : "#fff";
    context.globalCompositeOperation = this.veil && erase ? "destination-out" : "source-over";
    context.lineWidth = width * side;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(points[0][0] * side, points[0][1] * side);
    for (const [x, y] of points) context.lineTo(x * side, y * side); // one point gives a dot
    context.stroke();
  }

  show() {
    const { canvas, strokes } = this;
    this.find(".brush").setAttribute("aria-pressed", !this.erase);
    this.find(".eraser").setAttribute("aria-pressed", this.erase);
    // Not `disabled`: a button that is pressed by keyboard must keep the focus.
    this.find(".undo").setAttribute("aria-disabled", !this.past.length);
    this.find(".redo").setAttribute("aria-disabled", !this.future.length);
    this.find(".clear").setAttribute("aria-disabled", !strokes.length);
    this.find(".hint").hidden = Boolean(strokes.length || this.open);
    this.find(".width output").textContent = `${Math.round(100 * this.width)} %`;
    const cursor = this.find(".cursor");
    cursor.hidden = !canvas.matches(":focus-visible") || this.pointer !== null;
    cursor.classList.toggle("down", Boolean(this.open));
    cursor.style.left = `${100 * this.cursor[0]}%`;
    cursor.style.top = `${100 * this.cursor[1]}%`;
    cursor.style.width = cursor.style.height = `${100 * this.width}%`;
    const count = strokes.length === 1 ? "1 stroke" : `${strokes.length} strokes`;
    const state = this.full ? "The pad is full: undo or clear" : this.open ? "Brush down" : count;
    if (this.find(".status").textContent !== state) this.find(".status").textContent = state;
  }
}

// A point, at most `far` outside the pad, with the digits that are sent.
function place(point, far) {
  return point.map((value) => Math.round(1e4 * Math.min(1 + far, Math.max(-far, value))) / 1e4);
}
