// The board. decodes.js says which picture belongs to a grid, painting.js draws, edits.js undoes, choosing.js chooses
// cells. What a person does is shown at once where its picture is here, and told to the server when it is done.

const NARROW = 720; // as in board.css: under it, two pictures stand side by side
const TALLEST = 360; // px, of a picture
const KEY_PAUSE = 200; // ms after the last arrow key before a choice is reported

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".board");
  if (!root || !data) return;
  root.board ??= new Board(root); // this function runs again for each payload; the edit lives on the node
  root.board.send = (event) => setStateValue("edited", event);
  root.board.receive(...unpack(data));
  return () => root.board.close();
}

class Board {
  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.decodes = new Decodes();
    this.cellBox = this.find(".cells");
    this.paletteBox = this.find(".palette");
    this.choosing = new Choosing(this.cellBox, this);
    this.overCell = null; // the cell under the pointer
    this.tried = null; // the code that is tried in the chosen cells
    this.inContext = true; // what tiles show
    for (const [tool, act] of Object.entries({
      undo: () => this.travel(false),
      redo: () => this.travel(true),
      reset: () => this.change(this.header.starts),
      swap: () => this.change(swapped(this.edits.grids, this.choosing.cells)),
      constant: () => this.tile(false),
      context: () => this.tile(true),
    })) {
      this.find(`.${tool}`).addEventListener("click", act);
    }
    const { paletteBox } = this;
    paletteBox.addEventListener("pointerover", (event) => this.try(this.codeOf(event)));
    paletteBox.addEventListener("pointerleave", () => this.try(null));
    paletteBox.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && this.try(this.codeOf(event)));
    paletteBox.addEventListener("focusout", () => this.try(null));
    paletteBox.addEventListener("click", (event) => this.take(this.codeOf(event)));
    paletteBox.addEventListener("keydown", (event) => this.paletteKey(event));
    this.watch = new ResizeObserver(() => this.layout());
    this.watch.observe(root);
  }

  close() {
    clearTimeout(this.pause);
    this.watch.disconnect();
    this.choosing.close();
  }

  receive(header, pixels) {
    const anew = header.revision !== this.header?.revision;
    const palette = header.palette.join();
    this.header = header;
    if (anew) this.decodes = new Decodes();
    this.decodes.receive(header, pixels);
    this.palette = new Map(header.palette.map((code, at) => [code, at]));
    this.sprite = sprite(this.decodes.tiles);
    this.around = null; // the sprite of the candidates, made when it is asked for
    if (anew) {
      this.edits = new Edits(header.grids);
      this.choosing.lay(header.rows, header.columns, header.cells);
      this.overCell = this.tried = null;
    }
    if (anew || palette !== this.built) this.build();
    this.built = palette;
    this.tile(this.inContext);
    this.layout();
  }

  // -- what the person does ---------------------------------------------------------------------------------------

  mark() {
    this.show();
  }

  chosen(cells, byKey) {
    this.show();
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.report(), byKey ? KEY_PAUSE : 0);
  }

  over(cell) {
    this.overCell = cell;
    this.show();
  }

  enter() {
    this.codeNode(this.edits.grids[0][this.choosing.cursor])?.focus();
    this.try(this.edits.grids[0][this.choosing.cursor]);
  }

  try(code) {
    if (code === this.tried) return;
    this.tried = code;
    this.show();
  }

  take(code) {
    if (code === null) return;
    const [first, ...others] = this.edits.grids;
    this.change([painted(first, this.choosing.cells, code), ...others]);
  }

  travel(forward) {
    if (forward ? this.edits.redo() : this.edits.undo()) this.report();
    this.show();
  }

  change(grids) {
    if (this.edits.change(grids)) this.report();
    this.show();
  }

  report() {
    clearTimeout(this.pause);
    this.send({ grids: this.edits.grids, cells: this.choosing.cells, revision: this.header.revision });
  }

  paletteKey(event) {
    const codes = [...this.paletteBox.children];
    const at = codes.indexOf(event.target.closest(".code"));
    const across = Math.max(1, codes.filter((node) => node.offsetTop === codes[0].offsetTop).length);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
    if (step) codes[at + step]?.focus();
    else if (event.key === "Escape") {
      this.try(null);
      this.cellBox.children[this.choosing.cursor].focus();
    } else if ((event.ctrlKey || event.metaKey) && "zy".includes(event.key.toLowerCase())) {
      this.travel(event.key.toLowerCase() === "y" || event.shiftKey);
    } else return; // Enter and the space bar click
    event.preventDefault();
    event.stopPropagation();
  }

  // -- elements ---------------------------------------------------------------------------------------------------

  build() {
    const { rows, columns, palette, usage } = this.header;
    this.cellBox.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
    this.cellBox.replaceChildren(...Array.from({ length: rows * columns }, (_, cell) => {
      const node = element("div", "cell");
      Object.assign(node.dataset, { cell });
      node.setAttribute("role", "gridcell");
      return node;
    }));
    this.paletteBox.classList.toggle("many", palette.length > 160);
    this.paletteBox.replaceChildren(...palette.map((code, at) => {
      const node = element("button", usage[at] ? "code" : "code dead");
      Object.assign(node, { type: "button", title: this.named(code) });
      node.dataset.code = code;
      node.setAttribute("role", "option");
      node.setAttribute("aria-label", this.named(code));
      return node;
    }));
    this.find(".second").hidden = this.find(".swap").hidden = this.header.starts.length < 2;
    this.root.classList.toggle("line", this.header.line);
  }

  codeOf(event) {
    const node = event.target.closest?.(".code");
    return node ? Number(node.dataset.code) : null;
  }

  codeNode(code) {
    return this.paletteBox.children[this.palette.get(code)];
  }

  named(code) {
    const share = this.header.usage[this.palette.get(code)];
    if (share === undefined) return `code ${code}`;
    return share ? `code ${code}, in ${fixed(100 * share, share < 0.001 ? 3 : 1)} % of the data's cells` : `code ${code}, unused`;
  }

  tile(inContext) {
    this.inContext = inContext;
    this.find(".constant").setAttribute("aria-pressed", !inContext);
    this.find(".context").setAttribute("aria-pressed", inContext);
    const { codes, pictures } = this.decodes.candidates;
    if (inContext) this.around ??= sprite(pictures);
    for (const node of this.paletteBox.children) {
      const code = Number(node.dataset.code);
      const at = inContext ? codes.indexOf(code) : this.palette.get(code);
      if (at >= 0) placeTile(node, inContext ? this.around : this.sprite, at);
    }
  }

  // -- what is seen -----------------------------------------------------------------------------------------------

  layout() {
    const width = this.root.clientWidth;
    if (!width || !this.header) return;
    const panels = [...this.root.querySelectorAll(".stage figure:not([hidden])")];
    const [, h, w] = this.header.pictures.shape;
    const across = this.header.line ? 1 : width < NARROW ? 2 : panels.length;
    this.find(".stage").style.gridTemplateColumns = `repeat(${across}, minmax(0, 1fr))`;
    const room = (width - 16 * (across - 1)) / across;
    const zoom = scale(w, h, room, TALLEST);
    [this.wide, this.tall] = this.header.line ? [room, 72] : [w * zoom, h * zoom];
    for (const panel of panels) {
      const box = panel.querySelector("canvas") ?? this.cellBox;
      sized(box, this.wide, panel.matches(".codes") && this.header.line ? 28 : this.tall);
    }
    this.cellBox.classList.toggle("small", this.wide / this.header.columns < 20 || this.header.line);
    this.cellBox.style.fontSize = `${Math.min(11, this.wide / this.header.columns / 2.4)}px`;
    this.show();
  }

  show() {
    if (!this.header || !this.wide) return;
    const { edits, choosing, tried, decodes, overCell } = this;
    const [first, second] = edits.grids;
    const grid = tried === null ? first : painted(first, choosing.cells, tried);
    const picture = decodes.of(grid);
    const canvas = this.find(".picture");
    canvas.dataset.state = picture ? "ready" : "decoding";
    if (picture) {
      this.draw(canvas, picture);
      canvas.dataset.codes = JSON.stringify(grid);
      this.compare(grid, picture);
    }
    setText(this.find(".decode figcaption"), picture ? (tried === null ? "decode" : `decode with code ${tried}`) : "decoding…");
    const original = decodes.originals[0];
    this.find(".image").classList.toggle("none", !original);
    setText(this.find(".image figcaption"), original ? "image" : "no image: codes alone");
    if (original) this.draw(this.find(".image canvas"), original);
    const other = second && decodes.of(second);
    if (other) this.draw(this.find(".second canvas"), other);
    this.showCells(grid, overCell ?? choosing.cursor);
    const held = new Set(choosing.cells.map((cell) => first[cell]));
    for (const node of this.paletteBox.children) {
      const code = Number(node.dataset.code);
      node.classList.toggle("held", held.has(code));
      node.classList.toggle("lit", code === tried || (overCell !== null && first[overCell] === code));
      node.tabIndex = code === first[choosing.cursor] ? 0 : -1;
      node.setAttribute("aria-selected", held.has(code));
    }
    setText(this.find(".status"), this.said(first));
    this.find(".undo").setAttribute("aria-disabled", !edits.past.length);
    this.find(".redo").setAttribute("aria-disabled", !edits.future.length);
    this.find(".reset").setAttribute("aria-disabled", same(edits.grids, this.header.starts));
  }

  showCells(grid, near) {
    const { choosing, tried, header } = this;
    const chosen = new Set(choosing.cells);
    [...this.cellBox.children].forEach((node, cell) => {
      const at = this.palette.get(grid[cell]);
      if (at !== undefined) placeTile(node, this.sprite, at);
      setText(node, header.line ? "" : String(grid[cell]));
      node.classList.toggle("chosen", chosen.has(cell));
      node.classList.toggle("alike", tried !== null && this.edits.grids[0][cell] === tried);
      node.tabIndex = cell === choosing.cursor ? 0 : -1;
      node.setAttribute("aria-label", `row ${Math.floor(cell / header.columns) + 1}, column ${(cell % header.columns) + 1}, code ${grid[cell]}`);
      node.setAttribute("aria-selected", chosen.has(cell));
    });
    for (const sheet of this.root.querySelectorAll(".sheet")) this.frame(sheet, near);
  }

  // The pixels that a cell stands for, and those that it can change.
  frame(sheet, cell) {
    const [, h, w] = this.header.pictures.shape;
    for (const kind of ["own", "reach"]) {
      const box = sheet.querySelector(`.${kind}`) ?? sheet.appendChild(element("div", kind));
      const [top, left, bottom, right] = this.header[kind][cell];
      const percent = (part, whole) => `${(100 * part) / whole}%`;
      Object.assign(box.style, {
        top: percent(top, h), left: percent(left, w), height: percent(bottom - top, h), width: percent(right - left, w),
      });
    }
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
    const what = edited ? "change by the edit" : "decode − image";
    setText(this.find(".change figcaption"), limit ? `${what}, ±${fixed(limit)}` : `${what}: none`);
    canvas.setAttribute("aria-label", `${what}, from ${fixed(-limit)} to ${fixed(limit)}; red is brighter`);
  }

  said(grid) {
    const { choosing, overCell, tried, header } = this;
    if (tried !== null) return this.named(tried);
    const cell = overCell ?? choosing.cursor;
    const place = `row ${Math.floor(cell / header.columns) + 1}, column ${(cell % header.columns) + 1}: ${this.named(grid[cell])}`;
    return overCell === null && choosing.cells.length > 1 ? `${choosing.cells.length} cells chosen` : place;
  }
}
