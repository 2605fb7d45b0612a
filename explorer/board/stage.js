// The pictures side by side: image, codes, decode, difference, and a second image. What is drawn, the board says.

const NARROW = 720; // as in board.css: under it, two pictures stand side by side
const TALLEST = 360; // px, of a picture
const LOWER = 200; // where two stand over two
const WAVES = 56; // px, of a waveform

class Stage {
  // `on` hears over(cell or null).
  constructor(root, on) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    for (const sheet of root.querySelectorAll(".sheet")) {
      sheet.addEventListener("pointermove", (event) => on.over(this.under(event, sheet)));
      sheet.addEventListener("pointerleave", () => on.over(null));
    }
  }

  // The cell that stands for the pixels under the pointer.
  under(event, sheet) {
    const { rows, columns } = this.header;
    const { left, top, width, height } = sheet.getBoundingClientRect();
    const at = (part, many) => Math.max(0, Math.min(many - 1, Math.floor(part * many)));
    return at((event.clientY - top) / height, rows) * columns + at((event.clientX - left) / width, columns);
  }

  receive(header, decodes) {
    Object.assign(this, { header, decodes });
    this.find(".second").hidden = header.starts.length < 2;
  }

  // Sizes, which depend on the width only.
  layout() {
    const width = this.root.clientWidth;
    if (!width || !this.header) return;
    const { line, columns, pictures } = this.header;
    const panels = [...this.root.querySelectorAll(".stage figure:not([hidden])")];
    const [, h, w] = pictures.shape;
    const across = line ? 1 : width < NARROW ? 2 : panels.length;
    const room = (width - 16 * (across - 1)) / across;
    const zoom = scale(w, h, room, width < NARROW ? LOWER : TALLEST);
    [this.wide, this.tall] = line ? [room, WAVES] : [w * zoom, h * zoom];
    this.find(".stage").style.gridTemplateColumns = `repeat(${across}, ${this.wide}px)`;
    const cells = this.find(".cells");
    for (const panel of panels) {
      const isCodes = panel.matches(".codes");
      sized(isCodes ? cells : panel.querySelector("canvas"), this.wide, isCodes && line ? WAVES / 2 : this.tall);
    }
    cells.classList.toggle("small", this.wide / columns < 20 || line);
    cells.style.fontSize = `${Math.min(11, this.wide / columns / 2.4)}px`;
  }

  // The picture of a grid, in which one code may only be tried, and of the second image's grid, if there is one. Where
  // the picture with the tried code is lacking, the grid is the one without it.
  show(grid, tried, second, lacking) {
    const picture = this.decodes.of(grid);
    const canvas = this.find(".picture");
    canvas.dataset.state = picture ? "ready" : "decoding";
    const what = tried === null ? "decode" : lacking ? `decode; click to see code ${tried}` : `decode with code ${tried}`;
    setText(this.find(".decode figcaption"), picture ? what : "decoding…");
    if (picture) {
      if (tried === null) this.decodes.keep(grid, picture); // Undo may come back to it
      this.draw(canvas, picture);
      canvas.dataset.codes = JSON.stringify(grid);
      canvas.setAttribute("aria-label", what);
      this.compare(grid, picture);
    }
    const original = this.decodes.originals[0];
    this.find(".image").classList.toggle("none", !original);
    setText(this.find(".image figcaption"), original ? this.kind : "none: codes alone");
    if (original) this.draw(this.find(".image canvas"), original);
    const other = second && this.decodes.of(second);
    if (other) this.draw(this.find(".second canvas"), other);
  }

  get kind() {
    return this.header.line ? "waveform" : "image";
  }

  // On each picture, the pixels that cells stand for, and those that choosing other codes for some cells can change.
  frame(cells, changing) {
    const boxes = (kind, of) => of.map((cell) => this.header[kind][cell]);
    const own = boxes("own", cells);
    const whole = union(own);
    for (const sheet of this.root.querySelectorAll(".sheet")) {
      sheet.querySelectorAll(".own, .reach").forEach((node) => node.remove());
      const fills = own.reduce((sum, box) => sum + area(box), 0) === area(whole); // a rectangle of cells is one frame
      for (const box of fills ? [whole] : own) sheet.append(this.framed("own", box));
      sheet.append(this.framed("reach", union(boxes("reach", changing))));
    }
  }

  framed(kind, [top, left, bottom, right]) {
    const [, h, w] = this.header.pictures.shape;
    const percent = (part, whole) => `${(100 * part) / whole}%`;
    const node = element("div", kind);
    Object.assign(node.style, {
      top: percent(top, h), left: percent(left, w),
      height: percent(bottom - top, h), width: percent(right - left, w),
    });
    return node;
  }

  draw(canvas, picture) {
    if (this.header.line) plotted(canvas, picture, this.wide, this.tall);
    else paint(canvas, picture);
  }

  // Once something was edited, the difference is what the edit did; before that, what the decode lost.
  compare(grid, picture) {
    const { originals } = this.decodes;
    const edited = grid.join() !== this.header.starts[0].join() || !originals[0];
    const before = edited ? this.decodes.of(this.header.starts[0]) : originals[0];
    const canvas = this.find(".change canvas");
    if (!before) return;
    const { picture: found, values, limit } = difference(picture, before);
    if (this.header.line) {
      const around = Uint8Array.from(values, (value) => Math.max(0, Math.min(255, Math.round(127.5 + 255 * value))));
      plotted(canvas, { pixels: around }, this.wide, this.tall);
    } else paint(canvas, found);
    const what = edited ? "change by the edit" : `decode − ${this.kind}`;
    setText(this.find(".change figcaption"), limit ? `${what}, ±${fixed(limit)}` : `${what}: none`);
    canvas.setAttribute("aria-label", `${what}, from ${fixed(-limit)} to ${fixed(limit)}; red is brighter`);
  }
}

const area = ([top, left, bottom, right]) => (bottom - top) * (right - left);

// The box that holds all of some boxes.
function union(boxes) {
  const edge = (axis, most) => most(...boxes.map((box) => box[axis]));
  return [edge(0, Math.min), edge(1, Math.min), edge(2, Math.max), edge(3, Math.max)];
}
