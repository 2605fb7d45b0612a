// What lies over the points: class labels, marks, the ring around the nearest point, the outline being drawn.

const LINE = 17; // px

function drawOver(context, map) {
  const { camera, cloud, marks, drawing, hover, style } = map;
  context.clearRect(0, 0, camera.width, camera.height);
  context.font = `700 15px ${style.font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  if (map.along === 1) labels(context, map);
  for (const { place, text } of marks) cross(context, style, text, ...camera.screen(...cloud.inward(place)));
  const ring = hover?.point >= 0 ? hover.point : -1;
  if (map.chosen >= 0 && map.chosen < cloud.count) circle(context, style.accent, 3, ...at(map, map.chosen));
  if (ring >= 0 && map.along === 1) circle(context, style.ink, 1.5, ...at(map, ring));
  if (map.byKey) plus(context, style.ink, camera.width / 2, camera.height / 2);
  if (drawing?.length > 1) outline(context, style.accent, drawing);
}

const at = ({ camera, cloud }, i) => camera.screen(cloud.places[2 * i], cloud.places[2 * i + 1]);

// One below another where they would overlap: less than a line apart, by more than what y + LINE is rounded by.
function labels(context, { camera, cloud, style }) {
  const put = [];
  for (const { level, text, place } of cloud.header.labels) {
    if (cloud.hidden.has(level)) continue;
    let [x, y] = camera.screen(...cloud.inward(place));
    const half = context.measureText(text).width / 2 + 2;
    const under = () => put.find((other) => Math.abs(other.y - y) < LINE - 1e-6 && Math.abs(other.x - x) < other.half + half);
    for (let other = under(); other; other = under()) y = other.y + LINE;
    put.push({ x, y, half });
    tag(context, style, text, x, y);
  }
}

// Readable on any point: the background's colour around it.
function tag(context, { ink, paper }, text, x, y) {
  context.lineWidth = 4;
  context.lineJoin = "round";
  context.strokeStyle = paper;
  context.strokeText(text, x, y);
  context.fillStyle = ink;
  context.fillText(text, x, y);
}

function circle(context, colour, width, x, y) {
  context.beginPath();
  context.arc(x, y, 8, 0, 2 * Math.PI);
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

function lines(context, colour, width, ...strokes) {
  context.beginPath();
  for (const [x0, y0, x1, y1] of strokes) {
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
  }
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

const plus = (context, colour, x, y) => lines(context, colour, 1.5, [x - 9, y, x + 9, y], [x, y - 9, x, y + 9]);

// A picture that a person brought.
function cross(context, style, text, x, y) {
  const strokes = [[x - 8, y - 8, x + 8, y + 8], [x - 8, y + 8, x + 8, y - 8]];
  lines(context, style.paper, 6, ...strokes);
  lines(context, style.ink, 3, ...strokes);
  tag(context, style, text, x, y - 18);
}

function outline(context, colour, points) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
  context.lineWidth = 1.5;
  context.strokeStyle = colour;
  context.stroke();
  context.globalAlpha = 0.12;
  context.fillStyle = colour;
  context.fill();
  context.globalAlpha = 1;
}
