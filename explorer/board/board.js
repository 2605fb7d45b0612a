// The board. decodes.js says which picture belongs to a grid, stage.js shows pictures, edits.js undoes, choosing.js
// chooses cells. What a person does is shown at once where its picture is here, and told to the server when it is done.

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
    this.stage = new Stage(root);
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
    paletteBox.addEventListener("focusin", (event) => {
      if (event.target.matches(":focus-visible")) this.try(this.codeOf(event));
    });
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
    this.stage.receive(header, this.decodes);
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
    this.find(".swap").hidden = this.header.starts.length < 2;
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
    if (!share) return `code ${code}, unused`;
    return `code ${code}, in ${fixed(100 * share, share < 0.001 ? 3 : 1)} % of the data's cells`;
  }

  tile(inContext) {
    this.inContext = inContext;
    this.find(".constant").setAttribute("aria-pressed", !inContext);
    this.find(".context").setAttribute("aria-pressed", inContext);
    const { codes, pictures } = this.decodes.candidates;
    if (inContext) this.around ??= sprite(cropped(pictures, this.near()));
    for (const node of this.paletteBox.children) {
      const code = Number(node.dataset.code);
      const at = inContext ? codes.indexOf(code) : this.palette.get(code);
      if (at >= 0) placeTile(node, inContext ? this.around : this.sprite, at);
    }
  }

  // Of the candidates, the chosen cells with half a cell around them: farther away they hardly differ.
  near() {
    const { box, cells } = this.decodes.candidates;
    const own = [...cells].map((cell) => this.header.own[cell]);
    const edge = (end, axis) => {
      const half = Math.ceil((own[0][axis + 2] - own[0][axis]) / 2);
      const sides = own.map((each) => each[axis + 2 * end]);
      const at = end ? Math.min(box[axis + 2], Math.max(...sides) + half) : Math.max(box[axis], Math.min(...sides) - half);
      return at - box[axis];
    };
    return [edge(0, 0), edge(0, 1), edge(1, 0), edge(1, 1)];
  }

  // -- what is seen -----------------------------------------------------------------------------------------------

  layout() {
    this.stage.layout();
    this.show();
  }

  show() {
    if (!this.stage.wide) return; // nothing was laid out yet
    const { edits, choosing, tried, overCell } = this;
    const [first, second] = edits.grids;
    const grid = tried === null ? first : painted(first, choosing.cells, tried);
    this.stage.show(grid, tried, second);
    this.stage.frame(overCell ?? choosing.cursor);
    this.showCells(grid);
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

  showCells(grid) {
    const { choosing, tried, header } = this;
    const chosen = new Set(choosing.cells);
    [...this.cellBox.children].forEach((node, cell) => {
      const at = this.palette.get(grid[cell]);
      if (at !== undefined) placeTile(node, this.sprite, at);
      setText(node, header.line ? "" : String(grid[cell]));
      node.classList.toggle("chosen", chosen.has(cell));
      node.classList.toggle("alike", tried !== null && this.edits.grids[0][cell] === tried);
      node.tabIndex = cell === choosing.cursor ? 0 : -1;
      node.setAttribute("aria-label", `${this.placed(cell)}, code ${grid[cell]}`);
      node.setAttribute("aria-selected", chosen.has(cell));
    });
  }

  said(grid) {
    const { choosing, overCell, tried } = this;
    if (tried !== null) return this.named(tried);
    const cell = overCell ?? choosing.cursor;
    if (overCell === null && choosing.cells.length > 1) return `${choosing.cells.length} cells chosen`;
    return `${this.placed(cell)}: ${this.named(grid[cell])}`;
  }

  placed(cell) {
    const { line, columns } = this.header;
    return line ? `place ${cell + 1}` : `row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;
  }
}
