// Which part of the plane is on screen. Places are in units of the map's larger side, and its middle is 0.

const [FARTHEST, NEAREST] = [0.3, 400]; // zoom

class Camera {
  constructor() {
    Object.assign(this, { x: 0, y: 0, zoom: 1, half: [0.5, 0.5], width: 1, height: 1 });
  }

  // CSS pixels per unit; at zoom 1 all points are in sight.
  get scale() {
    return 0.45 * this.zoom * Math.min(this.width / this.half[0], this.height / this.half[1]);
  }

  screen(x, y) {
    return [this.width / 2 + (x - this.x) * this.scale, this.height / 2 - (y - this.y) * this.scale];
  }

  plane(left, top) {
    return [this.x + (left - this.width / 2) / this.scale, this.y - (top - this.height / 2) / this.scale];
  }

  // Left, bottom, right, top.
  get view() {
    return [...this.plane(0, this.height), ...this.plane(this.width, 0)];
  }

  move(right, down) {
    this.go(this.x - right / this.scale, this.y + down / this.scale);
  }

  // What is at that pixel stays there.
  magnify(left, top, factor) {
    const [x, y] = this.plane(left, top);
    this.zoom = Math.min(NEAREST, Math.max(FARTHEST, this.zoom * factor));
    const [u, v] = this.plane(left, top);
    this.go(this.x + x - u, this.y + y - v);
  }

  // The middle of the screen stays within sight of the points.
  go(x, y) {
    this.x = Math.min(1, Math.max(-1, x));
    this.y = Math.min(1, Math.max(-1, y));
  }

  fit() {
    Object.assign(this, { x: 0, y: 0, zoom: 1 });
  }
}
