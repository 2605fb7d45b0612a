// Sprites of tiles, differences, waveforms.

const BLUE = [33, 102, 172];
const RED = [178, 24, 43];
const SPRITE = 64; // tiles in a row of a sprite

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
  const [n, h, w] = tiles.shape;
  const [columns, rows] = [Math.min(n, SPRITE), Math.ceil(n / SPRITE)];
  const whole = document.createElement("canvas");
  Object.assign(whole, { width: columns * w, height: rows * h });
  const one = document.createElement("canvas");
  for (let i = 0; i < n; i++) {
    if (h > 1) paint(one, nth(tiles, i));
    else plotted(one, nth(tiles, i), 24, 24);
    whole.getContext("2d").drawImage(one, 0, 0, one.width, one.height, (i % SPRITE) * w, Math.floor(i / SPRITE) * h, w, h);
  }
  return { url: whole.toDataURL(), columns, rows };
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
