// Choosing cells by pointer and by keyboard: one, a rectangle, or, with Ctrl, one more or one less.

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

class Choosing {
  // `on` hears chosen(cells, byKey), over(cell or null), enter() and travel(forward).
  constructor(box, on) {
    Object.assign(this, { box, on, cells: [], anchor: 0, cursor: 0, columns: 1, rows: 1, dragging: false });
    box.addEventListener("pointerdown", (event) => this.down(event));
    box.addEventListener("pointerover", (event) => this.over(event));
    box.addEventListener("pointerleave", () => on.over(null));
    box.addEventListener("keydown", (event) => this.key(event));
    this.up = () => this.dragging && this.end();
    document.addEventListener("pointerup", this.up);
    document.addEventListener("pointercancel", this.up);
  }

  close() {
    document.removeEventListener("pointerup", this.up);
    document.removeEventListener("pointercancel", this.up);
  }

  lay(rows, columns, cells) {
    Object.assign(this, { rows, columns, cells });
    this.anchor = cells[0];
    this.cursor = cells.at(-1);
  }

  under(event) {
    const node = event.target.closest?.(".cell");
    return node ? Number(node.dataset.cell) : null;
  }

  down(event) {
    const cell = this.under(event);
    if (cell === null || event.button !== 0) return;
    if (event.ctrlKey || event.metaKey) {
      const without = this.cells.filter((other) => other !== cell);
      if (without.length) this.cells = without.length < this.cells.length ? without : [...this.cells, cell];
      this.anchor = this.cursor = cell;
      return this.on.chosen(this.cells, false);
    }
    this.dragging = true;
    event.target.releasePointerCapture?.(event.pointerId); // a finger keeps to where it went down otherwise
    if (!event.shiftKey) this.anchor = cell;
    this.extend(cell);
  }

  over(event) {
    const cell = this.under(event);
    if (cell === null) return;
    if (this.dragging && event.buttons) this.extend(cell);
    this.on.over(cell);
  }

  end() {
    this.dragging = false;
    this.on.chosen(this.cells, false);
  }

  // Choose the rectangle from the anchor to a cell.
  extend(cell) {
    this.cursor = cell;
    const [[r0, c0], [r1, c1]] = [this.anchor, cell].map((at) => [Math.floor(at / this.columns), at % this.columns]);
    this.cells = [];
    for (let r = Math.min(r0, r1); r <= Math.max(r0, r1); r++) {
      for (let c = Math.min(c0, c1); c <= Math.max(c0, c1); c++) this.cells.push(r * this.columns + c);
    }
    this.on.mark();
  }

  key(event) {
    const letter = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && (letter === "z" || letter === "y")) {
      this.on.travel(letter === "y" || event.shiftKey);
    } else if (event.key === "Enter" || event.key === " ") this.on.enter();
    else if (event.key in STEPS) {
      const [row, column] = [Math.floor(this.cursor / this.columns), this.cursor % this.columns];
      const [down, right] = STEPS[event.key];
      const [r, c] = [row + down, column + right];
      if (r >= 0 && c >= 0 && r < this.rows && c < this.columns) {
        const cell = r * this.columns + c;
        if (!event.shiftKey) this.anchor = cell;
        this.extend(cell);
        this.box.children[cell].focus();
        this.on.over(null); // wherever the pointer was left
        this.on.chosen(this.cells, true);
      }
    } else return;
    event.preventDefault(); // the page does not scroll
    event.stopPropagation();
  }
}
