// Sprites of tiles, differences, waveforms.

const BLUE = [33, 102, 172];
const RED = [178, 24, 43];
const SPRITE = 64; // tiles in a row of a sprite
const WAVE = [32, 32]; // px, height and width of a waveform's tile

// Signed difference, the mean over channels, as a picture: blue below 0, white at 0, red above, and its limit.
function difference(one, other) {
  const [h, w, c] = one.shape;
  const values = new Float32Array(h * w);
  let limit = 0;
  for (let i = 0; i < values.length; i++) {
    for (let k = 0; k < c; k++) values[i] += (one.pixels[i * c + k] - other.pixels[i * c + k]) / (255 * c);
    limit = Math.max(limit, Math.abs(values[i]));
  }
  const pixels = new Uint8Array(3 * values.length);
  values.forEach((value, i) => {
    const share = limit ? Math.abs(value) / limit : 0;
    (value < 0 ? BLUE : RED).forEach((full, k) => (pixels[3 * i + k] = Math.round(255 + share * (full - 255))));
  });
  return { picture: { shape: [h, w, 3], pixels }, values, limit };
}

// All tiles on one canvas, as the address of a picture; `place` says where one of them is, for CSS.
function sprite(tiles) {
  const n = tiles.shape[0];
  const isLine = tiles.shape[1] === 1;
  const [h, w] = isLine ? WAVE : tiles.shape.slice(1, 3);
  const [columns, rows] = [Math.min(n, SPRITE), Math.ceil(n / SPRITE)];
  const whole = document.createElement("canvas");
  Object.assign(whole, { width: columns * w, height: rows * h });
  const one = document.createElement("canvas");
  for (let i = 0; i < n; i++) {
    if (isLine) plotted(one, nth(tiles, i), w, h);
    else paint(one, nth(tiles, i));
    whole.getContext("2d").drawImage(one, 0, 0, one.width, one.height, (i % SPRITE) * w, Math.floor(i / SPRITE) * h, w, h);
  }
  return { url: whole.toDataURL(), columns, rows };
}

// The same part of each of some pictures.
function cropped({ shape: [n, h, w, c], pixels }, [top, left, bottom, right]) {
  const [down, across] = [bottom - top, (right - left) * c];
  const found = new Uint8Array(n * down * across);
  for (let i = 0; i < n; i++) {
    for (let row = 0; row < down; row++) {
      const from = ((i * h + top + row) * w + left) * c;
      found.set(pixels.subarray(from, from + across), (i * down + row) * across);
    }
  }
  return { shape: [n, down, right - left, c], pixels: found };
}

function placeTile(node, { url, columns, rows }, i) {
  const percent = (at, many) => `${many > 1 ? (100 * at) / (many - 1) : 0}%`;
  node.style.backgroundImage = `url(${url})`;
  node.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
  node.style.backgroundPosition = `${percent(i % SPRITE, columns)} ${percent(Math.floor(i / SPRITE), rows)}`;
}

// A waveform of values 0 … 255 around the middle, as tall as the canvas; each column shows its least and most.
function plotted(canvas, { pixels }, width, height, colour = "#0072B2") {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const context = canvas.getContext("2d");
  context.fillStyle = colour;
  for (let x = 0; x < canvas.width; x++) {
    const from = Math.floor((x * pixels.length) / canvas.width);
    const to = Math.max(from + 1, Math.ceil(((x + 1) * pixels.length) / canvas.width));
    let [low, high] = [255, 0];
    for (let i = from; i < Math.min(to + 1, pixels.length); i++) {
      low = Math.min(low, pixels[i]);
      high = Math.max(high, pixels[i]);
    }
    const y = (value) => (1 - value / 255) * (canvas.height - 1);
    context.fillRect(x, y(high), 1, Math.max(1, y(low) - y(high)));
  }
}
