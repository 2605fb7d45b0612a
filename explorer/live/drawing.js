// The rows of the traversals.

const COLUMNS = 11; // rows are laid out as if they had this many pictures, so that those of different axes line up

const scratch = document.createElement("canvas"); // one picture at its own size, to scale from

// One row of the traversals: `pictures` at `columns` of `stops`, into `room` CSS pixels. `part` is what building.js made.
// `shape` is that of the picture on the stage: a strip may be of smaller ones, which are drawn just as large.
function drawRow(part, pictures, { columns, stops, names }, [h, w], room, gap) {
  const zoom = scale(w, h, (room - gap * (COLUMNS - 1)) / COLUMNS, LARGE / 2);
  const ratio = window.devicePixelRatio || 1;
  const [across, down, between] = [w * zoom, h * zoom, gap].map((side) => Math.round(side * ratio));
  const canvas = part.cells;
  canvas.width = columns.length * (across + between) - between;
  canvas.height = down;
  sized(canvas, canvas.width / ratio, canvas.height / ratio);
  part.pitch = (across + between) / ratio;
  part.mark.style.width = `${across / ratio}px`;
  part.mark.style.height = `${down / ratio}px`;
  if (part.heads) drawHeads(part, columns.map((stop) => stops[stop]), columns.map((stop) => names[stop]), across / ratio);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  pictures?.forEach((picture, i) => {
    paint(scratch, picture);
    context.imageSmoothingEnabled = across % scratch.width !== 0; // crisp where pixels stay whole, averaged otherwise
    context.drawImage(scratch, i * (across + between), 0, across, down);
  });
}

// Headings stand over the first row and again wherever the stops change.
function drawHeads({ heads, pitch }, positions, names, width) {
  const all = width >= 25;
  const step = (positions.at(-1) - positions[0]) / COLUMNS || 1;
  const digits = Math.max(0, Math.min(2, Math.ceil(0.5 - Math.log10(step))));
  heads.replaceChildren(...positions.map((value, i) => {
    const shown = all || i === 0 || i === positions.length - 1 || 2 * i === positions.length - 1;
    const head = element("span", "", shown ? names[i] ?? fixed(value, digits) : "");
    head.title = names[i] ?? "";
    head.style.left = `${i * pitch + width / 2 - 20}px`;
    return head;
  }));
}
