// Points on a canvas: by WebGL where a GPU does it, else pixel by pixel, which is then the faster way. Both know where each point was and where it is
// going, so that a new projection is a move of all points at once.

const LAYERS = [[1, SOLID], [SOLID, 256]]; // alphas from … below: what is faded goes under what is not

const VERTEX = `
attribute vec2 from, to;
attribute vec4 colour;
uniform vec2 middle, unit, alphas;
uniform float along, size;
varying vec4 shade;
varying float full;
void main() {
  float drawn = step(alphas.x, colour.a) * (1.0 - step(alphas.y, colour.a)); // 0 is nowhere
  gl_Position = vec4((mix(from, to, along) - middle) * unit, 0.0, drawn);
  gl_PointSize = size;
  shade = colour;
  full = mod(floor(255.0 * colour.a + 0.5), 2.0);
}`;
const FRAGMENT = `
precision mediump float;
uniform float side;
varying vec4 shade;
varying float full;
void main() {
  float radius = length(gl_PointCoord - 0.5) * side;
  float hole = (1.0 - full) * clamp(0.5 * side - max(1.3, 0.2 * side) - radius, 0.0, 1.0);
  float cover = clamp(0.5 * side - radius, 0.0, 1.0) * (1.0 - hole) * shade.a;
  gl_FragColor = vec4(shade.rgb * cover, cover);
}`;

class Scatter {
  constructor(canvas, redraw) {
    this.canvas = canvas;
    this.count = 0;
    this.gl = hasGpu() ? canvas.getContext("webgl", { antialias: false }) : null;
    if (!this.gl) return void (this.flat = canvas.getContext("2d"));
    this.prepare();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => (this.prepare(), this.place(this.from, this.to),
      this.paint(this.colours), redraw()));
  }

  prepare() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.at = (name) => gl.getUniformLocation(program, name);
    this.buffers = {};
    for (const [name, width, type] of [["from", 2, gl.FLOAT], ["to", 2, gl.FLOAT], ["colour", 4, gl.UNSIGNED_BYTE]]) {
      const [buffer, place] = [gl.createBuffer(), gl.getAttribLocation(program, name)];
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, width, type, type === gl.UNSIGNED_BYTE, 0, 0);
      this.buffers[name] = buffer;
    }
  }

  fill(name, values) {
    if (!this.gl) return;
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.buffers[name]);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, values, this.gl.DYNAMIC_DRAW);
  }

  // Float32Array of x, y each.
  place(from, to) {
    Object.assign(this, { from, to, count: to.length / 2 });
    this.fill("from", from);
    this.fill("to", to);
  }

  // Uint8Array of r, g, b, alpha; a point with alpha 0 is not there, one with an even alpha is a ring.
  paint(colours) {
    this.colours = colours;
    this.fill("colour", colours);
  }

  // `size` in CSS pixels; `along` from 0, where points were, to 1.
  draw(camera, size, along) {
    const ratio = window.devicePixelRatio || 1;
    const { canvas, gl } = this;
    if (!gl) return this.drawFlat(camera, size * ratio, along, ratio);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(this.at("middle"), camera.x, camera.y);
    gl.uniform2f(this.at("unit"), (2 * camera.scale) / camera.width, (2 * camera.scale) / camera.height);
    gl.uniform1f(this.at("along"), along);
    for (const name of ["size", "side"]) gl.uniform1f(this.at(name), size * ratio); // one for each shader's precision
    for (const [least, below] of LAYERS) {
      gl.uniform2f(this.at("alphas"), (least - 0.5) / 255, (below - 0.5) / 255);
      if (this.count) gl.drawArrays(gl.POINTS, 0, this.count);
    }
  }

  drawFlat(camera, size, along, ratio) {
    const { width, height } = this.canvas;
    if (this.image?.width !== width || this.image?.height !== height) this.image = this.flat.createImageData(width, height);
    const pixels = new Uint32Array(this.image.data.buffer).fill(0);
    const { colours, count, from, to } = this;
    const disc = new Disc(Math.max(1, Math.round(size)), pixels, width, height);
    const scale = camera.scale * ratio;
    const [left, top] = [width / 2 - camera.x * scale, height / 2 + camera.y * scale];
    const draw = (i) => {
      const x = from[2 * i] + along * (to[2 * i] - from[2 * i]);
      const y = from[2 * i + 1] + along * (to[2 * i + 1] - from[2 * i + 1]);
      disc.put(left + x * scale, top - y * scale, colours, 4 * i);
    };
    for (const [least, below] of LAYERS) {
      for (let i = 0; i < count; i++) if (colours[4 * i + 3] >= least && colours[4 * i + 3] < below) draw(i);
    }
    this.flat.putImageData(this.image, 0, 0);
  }
}

// Whether WebGL is more than a processor that does a GPU's work, which takes ten times as long as drawing flat.
function hasGpu() {
  const gl = element("canvas").getContext("webgl");
  const info = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return Boolean(gl) && !/swiftshader|llvmpipe|software|basic render/i.test(name);
}

// A round point or ring, `side` pixels wide, with a smooth edge where nothing lies under it.
class Disc {
  constructor(side, pixels, width, height) {
    Object.assign(this, { side, pixels, width, height });
    const within = (radius) => Float32Array.from({ length: side * side }, (_, i) => {
      const away = Math.hypot((i % side) - (side - 1) / 2, Math.floor(i / side) - (side - 1) / 2);
      return Math.min(1, Math.max(0, radius + 0.5 - away));
    });
    const hole = within(side / 2 - Math.max(1.3, 0.2 * side));
    this.disc = side < 3 ? new Float32Array(side * side).fill(1) : within(side / 2);
    this.ring = this.disc.map((cover, i) => cover * (1 - hole[i]));
  }

  put(x, y, colours, at) {
    const { side, pixels, width, height } = this;
    const cover = colours[at + 3] & FULL ? this.disc : this.ring;
    const [left, top] = [Math.round(x - side / 2), Math.round(y - side / 2)];
    if (left < 0 || top < 0 || left + side > width || top + side > height) return; // cut at the edge of the map
    const shade = colours[at] | (colours[at + 1] << 8) | (colours[at + 2] << 16); // as bytes: r, g, b
    const alpha = colours[at + 3];
    for (let row = 0, i = 0; row < side; row++) {
      for (let to = (top + row) * width + left, end = to + side; to < end; to++, i++) {
        if (cover[i] > 0.5 || (cover[i] && !pixels[to])) pixels[to] = shade | ((cover[i] * alpha) << 24);
      }
    }
  }
}
