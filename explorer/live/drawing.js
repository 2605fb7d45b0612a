// Pixels onto canvases, at sizes where a pixel of the image is a whole number of pixels of the screen.

const COLUMNS = 11; // rows are laid out as if they had this many pictures, so that those of different axes line up

// The largest zoom in CSS pixels at which each image pixel is a whole number of device pixels, or 1/2, 1/3, … of one.
function scale(w, h, width, height = width) {
  const ratio = window.devicePixelRatio || 1;
  const free = Math.min(width / w, height / h) * ratio;
  return (free >= 1 ? Math.floor(free) : 1 / Math.ceil(1 / Math.max(free, 1 / Math.max(w, h)))) / ratio;
}

function sized(canvas, width, height) {
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
}

// Grey or RGB bytes onto a canvas of the picture's own size; CSS makes it large.
function paint(canvas, { pixels, shape: [h, w, c] }) {
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const context = canvas.getContext("2d");
  const image = (canvas.image ??= {})[`${w}x${h}`] ??= context.createImageData(w, h);
  const rgba = image.data;
  for (let from = 0, to = 0; from < pixels.length; from += c, to += 4) {
    rgba[to] = pixels[from];
    rgba[to + 1] = pixels[c === 3 ? from + 1 : from];
    rgba[to + 2] = pixels[c === 3 ? from + 2 : from];
    rgba[to + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

const scratch = document.createElement("canvas"); // one picture at its own size, to scale from

// One row of the traversals: `pictures` at `columns` of `stops`, into `room` CSS pixels. `part` is what building.js made.
// `shape` is that of the picture on the stage: a strip may be of smaller ones, which are drawn just as large.
function drawRow(part, pictures, { columns, stops }, [h, w], room, gap) {
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
  if (part.heads) drawHeads(part, columns.map((stop) => stops[stop]), across / ratio);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  pictures?.forEach((picture, i) => {
    paint(scratch, picture);
    context.imageSmoothingEnabled = across % scratch.width !== 0; // crisp where pixels stay whole, averaged otherwise
    context.drawImage(scratch, i * (across + between), 0, across, down);
  });
}

// Headings stand over the first row and again wherever the stops change.
function drawHeads({ heads, pitch }, positions, width) {
  const all = width >= 25;
  const step = (positions.at(-1) - positions[0]) / COLUMNS || 1;
  const digits = Math.max(0, Math.min(2, Math.ceil(0.5 - Math.log10(step))));
  heads.replaceChildren(...positions.map((value, i) => {
    const shown = all || i === 0 || i === positions.length - 1 || 2 * i === positions.length - 1;
    const head = element("span", "", shown ? fixed(value, digits) : "");
    head.style.left = `${i * pitch + width / 2 - 20}px`;
    return head;
  }));
}

// Two decimals, a real minus, and no "−0.00".
function fixed(value, digits = 2) {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

const trim = (value) => String(Number(value.toFixed(2))).replace("-", "−");
