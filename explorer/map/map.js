// The map: cloud.js holds the points, camera.js says where one looks, scatter.js and over.js draw, pointing.js hears
// the person, peek.js shows what is under the pointer, legend.js what the colours mean, talking.js
// tells the server.

const MOVE = 900; // ms of a move to another projection
const CLOSE = 14; // px from a point within which a click means it

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".map");
  if (!root || !data) return;
  root.map ??= new LatentMap(root); // this function runs again for each payload; the map lives on the node
  root.map.talk.send = setStateValue;
  root.map.receive(...unpack(data));
  return () => root.map.close();
}

class LatentMap {
  constructor(root) {
    Object.assign(this, { root, mode: "pan", along: 1, marks: [], chosen: -1, hover: null, drawing: null, byKey: false });
    this.find = (selector) => root.querySelector(selector);
    [this.behind, this.points, this.over] = [".behind", ".points", ".over"].map(this.find);
    [this.camera, this.cloud, this.peek, this.talk] = [new Camera(), new Cloud(), new Peek(this.find), new Talk(this)];
    this.legend = new Legend(this.find, () => this.recolour());
    this.scatter = new Scatter(this.points, () => this.redraw());
    this.pointing = new Pointing(this.over, this);
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(this.find(".sheet"));
    for (const button of root.querySelectorAll(".tools [data-mode]")) {
      button.addEventListener("click", () => this.turn(button.dataset.mode));
    }
    const middle = () => [this.camera.width / 2, this.camera.height / 2];
    const acts = { in: () => this.magnify(middle(), 1.5), out: () => this.magnify(middle(), 1 / 1.5),
      all: () => this.all(), none: () => this.none() };
    for (const button of root.querySelectorAll("[data-act]")) button.addEventListener("click", acts[button.dataset.act]);
    this.hear = ({ detail }) => detail.key === this.cloud.header?.key && this.told(detail.topic);
    window.addEventListener("latent-map", this.hear);
  }

  close() {
    this.watch.disconnect();
    window.removeEventListener("latent-map", this.hear);
    this.talk.hush();
    cancelAnimationFrame(this.frame);
  }

  // -- what comes ---------------------------------------------------------------------------------------------------

  receive(header, payload) {
    const { cloud, camera } = this;
    const before = cloud.header;
    const moves = cloud.receive(header, payload);
    if (before?.revision !== header.revision) {
      this.hover = null;
      this.scatter.place(cloud.before, cloud.places);
      camera.half = cloud.half;
      camera.fit();
      this.started = moves && !matchMedia("(prefers-reduced-motion: reduce)").matches ? performance.now() : -MOVE;
      this.along = 0;
    }
    this.find(".empty").hidden = cloud.count > 0;
    setText(this.find(".empty"), header.empty);
    this.over.setAttribute("aria-label", header.about);
    this.root.dataset.state = "ready";
    this.theme();
    this.resize();
    for (const topic of ["grid", "peek", "marks"]) this.told(topic);
    this.settle();
  }

  // Another component brings what was asked for, so that the points need not be sent again with each answer.
  told(topic) {
    const found = window.latentMap?.[`${this.cloud.header.key}/${topic}`];
    if (!found || found.header.revision !== this.cloud.header.revision) return;
    const { header, payload } = found;
    const picture = (part) => part && { shape: part.shape, pixels: payload.subarray(part.offset, part.offset + product(part.shape)) };
    if (topic === "grid") this.peek.grid = { ...header, pictures: picture(header.pictures) };
    if (topic === "peek") this.peek.answer = { ...header, ...Object.fromEntries(
      ["image", "decode", "here"].map((name) => [name, picture(header[name])])) };
    if (topic === "marks") {
      Object.assign(this, { marks: header.marks, chosen: header.chosen });
      this.cloud.selected = header.mask && unpacked(payload.subarray(header.mask.offset), this.cloud.count);
      this.recolour();
    }
    this.showPeek();
    this.redraw();
  }

  theme() {
    const { color, backgroundColor, fontFamily, accent } = looks(this.root);
    const dark = luminance(backgroundColor) < 0.4;
    this.style = { ink: color, paper: backgroundColor, font: fontFamily, accent };
    this.legend.tabulate(this.cloud.header.anchors, dark);
    this.recolour();
  }

  recolour() {
    this.legend.draw(this.cloud);
    this.scatter.paint(this.cloud.colours(this.legend.scale, this.cloud.header.palette.map(rgb)[0]));
    this.redraw();
  }

  // -- drawing ------------------------------------------------------------------------------------------------------

  resize() {
    const { clientWidth: width, clientHeight: height } = this.find(".sheet");
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.camera, { width, height });
    for (const canvas of [this.behind, this.points, this.over]) {
      if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
      if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    }
    this.redraw();
  }

  redraw() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = null;
    const { camera, cloud } = this;
    if (!cloud.header || camera.width < 2) return;
    const linear = Math.min(1, (performance.now() - this.started) / MOVE);
    this.along = linear * linear * (3 - 2 * linear);
    this.root.dataset.moving = linear < 1;
    const [behind, over] = [this.behind, this.over].map((canvas) => {
      const context = canvas.getContext("2d");
      context.setTransform(canvas.width / camera.width, 0, 0, canvas.height / camera.height, 0, 0);
      return context;
    });
    behind.clearRect(0, 0, camera.width, camera.height);
    if (linear === 1) this.peek.drawGrid(behind, cloud, camera);
    this.scatter.draw(camera, this.size, this.along);
    drawOver(over, this);
    this.root.dataset.frames = Number(this.root.dataset.frames ?? 0) + 1;
    if (linear < 1) this.redraw();
  }

  // CSS pixels of a point: smaller where there are many, larger where one looks closely.
  get size() {
    const base = Math.min(7, Math.max(2.2, 260 / Math.sqrt(this.cloud.count + 1)));
    return Math.min(12, base * this.camera.zoom ** 0.35);
  }

  // -- what the person does -----------------------------------------------------------------------------------------

  turn(mode) {
    this.mode = this.root.dataset.mode = mode;
    for (const button of this.root.querySelectorAll(".tools [data-mode]")) {
      button.setAttribute("aria-pressed", button.dataset.mode === mode);
    }
  }

  slide(right, down) {
    this.camera.move(right, down);
    this.settle();
  }

  magnify([left, top], factor) {
    this.camera.magnify(left, top, factor);
    this.settle();
  }

  all() {
    this.camera.fit();
    this.settle();
  }

  // The view is about to rest: then the decodes of what is in sight are asked for.
  settle() {
    this.redraw();
    this.talk.settle();
  }

  hoverAt(pixel, byKey = false) {
    if (!this.cloud.count || this.along < 1) return;
    this.byKey = byKey;
    const place = this.camera.plane(...pixel);
    this.hover = { place: this.cloud.outward(place), point: this.cloud.nearest(place)[0] };
    this.showPeek();
    this.redraw();
    this.talk.rest();
  }

  away() {
    this.talk.leave();
    this.byKey = false;
    this.redraw();
  }

  showPeek() {
    this.peek.show(this.cloud, this.hover?.place, this.hover?.point ?? -1);
    this.root.dataset.point = this.hover?.point ?? -1;
  }

  choose(pixel) {
    const [point, far] = this.cloud.nearest(this.camera.plane(...pixel));
    if (point >= 0 && far * this.camera.scale <= CLOSE) this.talk.choose("point", { point });
  }

  enclose(outline) {
    this.talk.choose("polygon", { polygon: outline.map((pixel) => this.cloud.outward(this.camera.plane(...pixel))) });
  }

  none() {
    this.talk.choose("none", {});
  }
}
