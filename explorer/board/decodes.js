// Which picture belongs to a grid. One rule: a picture is right only for the very grid that it was decoded from. Python
// sends the pictures of grids, and of a grid with every code in its chosen cells the pixels that this can change.

const KEPT = 60; // pictures, so that Undo shows at once what was seen before

class Decodes {
  constructor() {
    this.known = new Map(); // grid as text -> picture {shape, pixels}, oldest first
  }

  receive(header, pixels) {
    const take = (at) => at && { shape: at.shape, pixels: pixels.slice(at.offset, at.offset + product(at.shape)) };
    const pictures = take(header.pictures);
    const started = take(header.started);
    header.starts.forEach((grid, i) => this.keep(grid, nth(started, i)));
    header.grids.forEach((grid, i) => this.keep(grid, nth(pictures, i)));
    this.originals = header.originals.map(take);
    this.tiles = take(header.tiles);
    this.candidates = {
      ...header.candidates, pictures: take(header.candidates.pictures), cells: new Set(header.cells),
      base: header.grids[0], picture: nth(pictures, 0),
    };
  }

  keep(grid, picture) {
    const key = grid.join();
    this.known.delete(key);
    this.known.set(key, picture);
    if (this.known.size > KEPT) this.known.delete(this.known.keys().next().value);
  }

  // The picture of a grid, or null where it was not sent.
  of(grid) {
    return this.known.get(grid.join()) ?? this.candidate(grid); // made anew each time: many are only passed over
  }

  // Are there candidates for these cells, where the others are as in this grid?
  suits(grid, cells) {
    const { cells: mine, base } = this.candidates;
    return cells.length === mine.size && cells.every((cell) => mine.has(cell))
      && grid.every((code, cell) => mine.has(cell) || code === base[cell]);
  }

  // Will no picture of this code in these cells come, unless it is asked for?
  lacks(code, grid, cells) {
    return !this.candidates.codes.includes(code) && this.suits(grid, cells) && !this.of(painted(grid, cells, code));
  }

  candidate(grid) {
    const { cells, codes, box, pictures, picture } = this.candidates;
    const chosen = [...cells];
    const at = codes.indexOf(grid[chosen[0]]);
    if (at < 0 || !this.suits(grid, chosen) || chosen.some((cell) => grid[cell] !== grid[chosen[0]])) return null;
    return pasted(picture, box, nth(pictures, at));
  }
}

// A picture with another one in place of the pixels of a box.
function pasted({ shape, pixels }, [top, left, bottom, right], piece) {
  const [, w, c] = shape;
  const found = pixels.slice();
  const width = (right - left) * c;
  for (let row = 0; row < bottom - top; row++) {
    found.set(piece.pixels.subarray(row * width, (row + 1) * width), ((top + row) * w + left) * c);
  }
  return { shape, pixels: found };
}
