// A picture that is a sheet of several: a click, or the arrow keys and Enter, choose one of them.

class Picking {
  constructor(find, chosen) {
    const [picture, lines, mark, cell] = [".picture", ".lines", ".picked", "#cell"].map(find);
    const names = { rows: find(".row-names"), columns: find(".column-names") };
    Object.assign(this, { picture, lines, mark, cell, names, chosen, grid: null, at: 0 });
    picture.addEventListener("click", (event) => this.pick(this.under(event)));
    picture.addEventListener("pointermove", (event) => this.grid && this.place(this.under(event), true));
    picture.addEventListener("pointerleave", () => this.place(this.at, picture.matches(":focus")));
    picture.addEventListener("focus", () => {
      this.place(this.at, picture.matches(":focus-visible"));
      this.say();
    });
    picture.addEventListener("blur", () => this.place(this.at, false));
    picture.addEventListener("keydown", (event) => this.key(event));
  }

  // `grid`: {rows, columns, count, help, row_names, column_names}, or null where the picture is one.
  lay(grid) {
    this.grid = grid;
    this.picture.tabIndex = grid ? 0 : -1;
    this.picture.setAttribute("role", grid ? "application" : "img");
    this.lines.hidden = !grid;
    this.lines.style.backgroundSize = grid ? `${100 / grid.columns}% ${100 / grid.rows}%` : "";
    this.picture.style.cursor = grid ? "pointer" : "";
    this.picture.title = grid?.help ?? "";
    const groups = grid?.column_names ?? [];
    this.name(this.names.rows, grid?.row_names ?? []);
    this.name(this.names.columns, groups);
    this.lines.replaceChildren(...groups.slice(1).map((_, i) => {
      const line = element("i", "");
      line.style.left = `${(100 * (i + 1)) / groups.length}%`;
      return line;
    }));
    if (!grid) this.mark.hidden = true;
    else this.at = Math.min(this.at, grid.count - 1);
    this.say();
  }

  name(box, names) {
    box.replaceChildren(...names.map((name) => Object.assign(element("span", "", name), { title: name })));
  }

  under({ clientX, clientY }) {
    const { left, top, width, height } = this.picture.getBoundingClientRect();
    const { rows, columns, count } = this.grid ?? { rows: 1, columns: 1, count: 1 };
    const cell = (along, side, many) => Math.max(0, Math.min(many - 1, Math.floor((along / side) * many)));
    return Math.min(count - 1, cell(clientY - top, height, rows) * columns + cell(clientX - left, width, columns));
  }

  place(at, shown) {
    this.mark.hidden = !shown || !this.grid;
    if (this.mark.hidden) return;
    this.at = at;
    const { rows, columns } = this.grid;
    const [row, column] = [Math.floor(at / columns), at % columns];
    const percent = (part, whole) => `${(100 * part) / whole}%`;
    Object.assign(this.mark.style, {
      left: percent(column, columns), top: percent(row, rows), width: percent(1, columns), height: percent(1, rows),
    });
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.grid?.columns, ArrowDown: this.grid?.columns };
    if (!this.grid || !(event.key in steps || event.key === "Enter")) return;
    event.preventDefault();
    if (event.key === "Enter") return this.pick(this.at);
    const to = this.at + steps[event.key];
    this.place(to >= 0 && to < this.grid.count ? to : this.at, true);
    this.say();
  }

  // For a screen reader, which cell the keys are at. The pointer, which places the mark too, says nothing.
  say() {
    setText(this.cell, this.grid ? this.said(this.grid) : "");
  }

  said({ rows, columns, row_names, column_names }) {
    const [row, column] = [Math.floor(this.at / columns), this.at % columns];
    const name = row_names.length ? `, class ${row_names[row]}` : "";
    const group = column_names.length ? `, ${column_names[Math.floor((column * column_names.length) / columns)]}` : "";
    return `row ${row + 1} of ${rows}${name}, column ${column + 1} of ${columns}${group}`;
  }

  pick(at) {
    if (this.grid) this.chosen(at);
  }
}
