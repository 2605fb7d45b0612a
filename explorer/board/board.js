// The board. decodes.js says which picture belongs to a grid, stage.js shows pictures, palette.js codes, edits.js undoes,
// choosing.js chooses cells. What a person does is shown at once where its picture is here, and told to the server when it is done.

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
    this.stage = new Stage(root, this);
    this.cellBox = this.find(".cells");
    this.palette = new Palette(root, this);
    this.choosing = new Choosing(this.cellBox, this);
    this.overCell = null; // the cell under the pointer
    this.tried = null; // the code that is tried in the chosen cells
    for (const [tool, act] of Object.entries({
      undo: () => this.travel(false),
      redo: () => this.travel(true),
      reset: () => this.change(this.header.starts),
      swap: () => this.change(swapped(this.edits.grids, this.choosing.cells)),
    })) {
      this.find(`.${tool}`).addEventListener("click", act);
    }
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
    this.header = header;
    if (anew) this.decodes = new Decodes();
    this.decodes.receive(header, pixels);
    this.stage.receive(header, this.decodes);
    this.palette.receive(header, this.decodes);
    if (anew) {
      this.edits = new Edits(header.grids);
      this.choosing.lay(header.rows, header.columns, header.cells);
      this.overCell = this.tried = null;
    }
    if (anew) this.build();
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
    if (cell === this.overCell) return;
    this.overCell = cell;
    this.show();
  }

  enter() {
    this.palette.focus(this.edits.grids[0][this.choosing.cursor]);
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

  leave() {
    this.try(null);
    this.cellBox.children[this.choosing.cursor].focus();
  }

  // -- elements ---------------------------------------------------------------------------------------------------

  build() {
    const { rows, columns } = this.header;
    this.cellBox.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
    this.cellBox.replaceChildren(...Array.from({ length: rows * columns }, (_, cell) => {
      const node = element("div", "cell");
      Object.assign(node.dataset, { cell });
      node.append(element("span", "number"));
      node.setAttribute("role", "gridcell");
      return node;
    }));
    this.find(".swap").hidden = this.header.starts.length < 2;
    this.root.classList.toggle("line", this.header.line);
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
    const lacking = tried !== null && this.decodes.lacks(tried, first, choosing.cells);
    const grid = tried === null || lacking ? first : painted(first, choosing.cells, tried);
    this.stage.show(grid, tried, second, lacking);
    const alike = tried === null ? [] : [...first.keys()].filter((cell) => first[cell] === tried);
    const framed = overCell === null ? choosing.cells : [overCell];
    this.stage.frame(tried === null ? framed : alike, framed);
    this.showCells(grid, new Set(alike));
    const held = new Set(choosing.cells.map((cell) => first[cell]));
    this.palette.show(held, new Set([tried, first[overCell]]), first[choosing.cursor]);
    setText(this.find(".status"), this.said(first));
    this.find(".undo").setAttribute("aria-disabled", !edits.past.length);
    this.find(".redo").setAttribute("aria-disabled", !edits.future.length);
    this.find(".reset").setAttribute("aria-disabled", same(edits.grids, this.header.starts));
  }

  showCells(grid, alike) {
    const { choosing, overCell, header, palette } = this;
    const chosen = new Set(choosing.cells);
    [...this.cellBox.children].forEach((node, cell) => {
      const at = palette.places.get(grid[cell]);
      if (at !== undefined) placeTile(node, palette.sprite, at);
      setText(node.firstChild, header.line ? "" : String(grid[cell]));
      node.classList.toggle("chosen", chosen.has(cell));
      node.classList.toggle("alike", alike.has(cell));
      node.classList.toggle("over", cell === overCell);
      node.tabIndex = cell === choosing.cursor ? 0 : -1;
      node.setAttribute("aria-label", `${this.placed(cell)}, code ${grid[cell]}`);
      node.setAttribute("aria-selected", chosen.has(cell));
    });
  }

  said(grid) {
    const { choosing, overCell, tried } = this;
    if (tried !== null) return this.palette.named(tried);
    const cell = overCell ?? choosing.cursor;
    if (overCell === null && choosing.cells.length > 1) return `${choosing.cells.length} cells chosen`;
    return `${this.placed(cell)}: ${this.palette.named(grid[cell])}`;
  }

  placed(cell) {
    const { line, columns } = this.header;
    return line ? `place ${cell + 1}` : `row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;
  }
}
