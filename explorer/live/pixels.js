// Pixels: out of a packet, and onto canvases at sizes where each is a whole number of pixels of the screen.

// [u32 header length][JSON header][pixels] -> [header, pixels]
function unpack(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  return [header, bytes.subarray(4 + length)];
}

const product = (numbers) => numbers.reduce((a, b) => a * b, 1);

// {shape: [n, h, w, c], pixels} -> picture i, {shape: [h, w, c], pixels}
function nth({ shape: [, ...shape], pixels }, i) {
  const size = product(shape);
  return { shape, pixels: pixels.subarray(i * size, (i + 1) * size) };
}

// The largest zoom in CSS pixels at which each image pixel is a whole number of device pixels, or 1/2, 1/3, … of one;
// with `steps` of 2 also one and a half device pixels, and so on.
function scale(w, h, width, height = width, steps = 1) {
  const ratio = window.devicePixelRatio || 1;
  const free = Math.min(width / w, height / h) * ratio;
  return (free >= 1 ? Math.floor(steps * free) / steps : 1 / Math.ceil(1 / Math.max(free, 1 / Math.max(w, h)))) / ratio;
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
