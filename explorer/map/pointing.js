// Pointer, wheel and keys on the map. What they mean is the map's to say.

const CLICK = 4; // px that a pointer may move within a click
const STEP = 40; // px that an arrow key moves
const APART = 3; // px between two corners of a lasso
const CORNERS = 1000; // of a lasso, at most: what the server takes

class Pointing {
  constructor(canvas, map) {
    Object.assign(this, { canvas, map, held: new Map(), start: null, spread: 0 });
    const on = (type, act) => canvas.addEventListener(type, (event) => act.call(this, event));
    on("pointerdown", this.down);
    on("pointermove", this.over);
    on("pointerup", this.up);
    on("pointercancel", this.cancel);
    on("pointerleave", () => this.held.size || map.away());
    on("keydown", this.key);
    on("blur", () => map.away());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  at({ clientX, clientY }) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [clientX - left, clientY - top];
  }

  down(event) {
    if (event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.held.set(event.pointerId, this.at(event));
    this.start = this.held.size === 1 ? this.at(event) : null; // two fingers are no click
    this.map.drawing = this.map.mode === "pan" || !this.start ? null : [this.start];
    this.spread = this.apart();
  }

  over(event) {
    const [before, now] = [this.held.get(event.pointerId), this.at(event)];
    if (!before) return this.map.hoverAt(now);
    this.held.set(event.pointerId, now);
    if (this.held.size === 2) return this.pinch(before, now);
    if (this.map.drawing) return this.draw(now);
    if (this.start && Math.hypot(now[0] - this.start[0], now[1] - this.start[1]) <= CLICK) return;
    this.start = null;
    this.map.slide(now[0] - before[0], now[1] - before[1]);
  }

  draw(now) {
    const { map } = this;
    const last = map.drawing.at(-1);
    if (map.mode === "box") {
      const [x, y] = this.start;
      map.drawing = [[x, y], [now[0], y], now, [x, now[1]]];
    } else if (map.drawing.length < CORNERS && Math.hypot(now[0] - last[0], now[1] - last[1]) >= APART) {
      map.drawing.push(now);
    }
    map.redraw();
  }

  up(event) {
    if (!this.held.has(event.pointerId)) return;
    const [start, now, drawing] = [this.start, this.at(event), this.map.drawing];
    this.release(event);
    this.map.hoverAt(now); // a finger comes without a move
    const still = start && Math.hypot(now[0] - start[0], now[1] - start[1]) <= CLICK;
    if (drawing?.length > 2 && !(still && this.map.mode === "box")) this.map.enclose(drawing);
    else if (still) this.map.choose(now);
  }

  cancel(event) {
    this.release(event);
  }

  release(event) {
    this.held.delete(event.pointerId);
    this.start = null;
    this.map.drawing = null;
    this.map.redraw();
  }

  apart() {
    const [a, b] = [...this.held.values()];
    return b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : 0;
  }

  pinch(before, now) {
    const [a, b] = [...this.held.values()];
    const spread = this.apart();
    this.map.slide((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    if (this.spread) this.map.magnify([(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], spread / this.spread);
    this.spread = spread;
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 33 : 1;
    this.map.magnify(this.at(event), Math.exp(-0.0015 * Math.max(-300, Math.min(300, event.deltaY * lines))));
  }

  key(event) {
    const { map } = this;
    const middle = [map.camera.width / 2, map.camera.height / 2];
    const act = {
      ArrowLeft: () => map.slide(STEP, 0),
      ArrowRight: () => map.slide(-STEP, 0),
      ArrowUp: () => map.slide(0, STEP),
      ArrowDown: () => map.slide(0, -STEP),
      "+": () => map.magnify(middle, 1.25),
      "=": () => map.magnify(middle, 1.25),
      "-": () => map.magnify(middle, 0.8),
      "0": () => map.all(),
      Enter: () => map.choose(middle),
      Escape: () => map.none(),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    map.byKey = true;
    act();
    map.hoverAt(middle, true);
  }
}
