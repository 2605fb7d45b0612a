// Beside the map: the image of the nearest point and its decode, and the decode of the place itself. What is not here
// is asked for when the pointer rests.

class Peek {
  constructor(find) {
    Object.assign(this, { find, answer: null, grid: null });
  }

  // `place` in the server's coordinates, `point` the nearest one.
  show(cloud, place, point) {
    const { header } = cloud;
    const answer = this.answer?.revision === header.revision ? this.answer : null;
    const whole = answer?.point === point ? answer : null;
    const small = cloud.thumbnails && point >= 0 ? nth(cloud.thumbnails, point) : null;
    setText(this.find(".image figcaption"), header.stand_in ? `decode, for the ${header.kind}` : `nearest ${header.kind}`);
    this.find(".decode").hidden = header.stand_in;
    this.put(".image", whole?.image ?? small);
    this.put(".decode", whole?.decode);
    const name = cloud.classes && point >= 0 ? `, ${header.classes.levels[cloud.classes[point]]}` : "";
    setText(this.find(".who"), point >= 0 ? `${header.noun} ${cloud.ids[point]}${name}` : "");
    this.find(".image canvas").setAttribute("aria-label", this.find(".who").textContent);
    this.showPlace(header, place, answer);
  }

  showPlace(header, place, answer) {
    this.find(".here").hidden = !header.decodes;
    if (!header.decodes || !place) return;
    const exact = answer?.here && answer.place.every((value, i) => Math.abs(value - place[i]) <= 1e-6 * header.extent);
    const cell = exact ? { picture: answer.here, distance: answer.distance, off: answer.off } : this.cell(header, place);
    this.put(".here", cell?.picture);
    const note = this.find(".off");
    note.dataset.off = Boolean(cell?.off);
    const far = cell ? `${fixed(cell.distance)} from the nearest latent` : "";
    setText(note, cell?.off ? `⚠ Off the data, ${far}` : far);
  }

  // The decode that the server sent for about here.
  cell({ revision }, [x, y]) {
    const { grid } = this;
    if (grid?.revision !== revision) return null;
    const [left, bottom, right, top] = grid.view;
    const column = Math.floor(((x - left) / (right - left)) * grid.columns);
    const row = Math.floor(((top - y) / (top - bottom)) * grid.rows);
    if (column < 0 || row < 0 || column >= grid.columns || row >= grid.rows) return null;
    const at = row * grid.columns + column;
    return { picture: nth(grid.pictures, at), distance: grid.distances[at], off: grid.off[at] };
  }

  put(where, picture) {
    const canvas = this.find(`${where} canvas`);
    canvas.dataset.state = picture ? "ready" : "asked";
    if (!picture) return;
    paint(canvas, picture);
    canvas.dataset.frame = Number(canvas.dataset.frame ?? 0) + 1;
  }

  // The grid behind the points, each decode in its cell.
  drawGrid(context, cloud, camera) {
    const { grid } = this;
    if (!cloud.header.behind || grid?.revision !== cloud.header.revision) return;
    const [left, top] = camera.screen(...cloud.inward([grid.view[0], grid.view[3]]));
    const [right, bottom] = camera.screen(...cloud.inward([grid.view[2], grid.view[1]]));
    grid.sheet ??= this.sheet(grid);
    context.imageSmoothingEnabled = false;
    context.globalAlpha = 0.75;
    context.drawImage(grid.sheet, left, top, right - left, bottom - top);
    context.globalAlpha = 1;
  }

  sheet({ rows, columns, pictures }) {
    const [, h, w] = pictures.shape;
    const sheet = element("canvas");
    Object.assign(sheet, { width: columns * w, height: rows * h });
    const cell = element("canvas");
    for (let at = 0; at < rows * columns; at++) {
      paint(cell, nth(pictures, at));
      sheet.getContext("2d").drawImage(cell, (at % columns) * w, Math.floor(at / columns) * h);
    }
    return sheet;
  }
}
