// Grids as they were and as they will be again. What is undone comes back by redo until something else is done.

class Edits {
  constructor(grids) {
    this.grids = grids;
    this.past = [];
    this.future = [];
  }

  // Whether anything changed.
  change(grids) {
    if (same(grids, this.grids)) return false;
    this.past.push(this.grids);
    this.future = [];
    this.grids = grids;
    return true;
  }

  travel(from, to) {
    if (!from.length) return false;
    to.push(this.grids);
    this.grids = from.pop();
    return true;
  }

  undo() {
    return this.travel(this.past, this.future);
  }

  redo() {
    return this.travel(this.future, this.past);
  }
}

const same = (one, other) => one.length === other.length && one.every((grid, i) => grid.join() === other[i].join());

// A grid with one code in all of the cells.
function painted(grid, cells, code) {
  const found = grid.slice();
  for (const cell of cells) found[cell] = code;
  return found;
}

// Two grids whose cells have changed places.
function swapped([one, other], cells) {
  const found = [one.slice(), other.slice()];
  for (const cell of cells) [found[0][cell], found[1][cell]] = [other[cell], one[cell]];
  return found;
}
