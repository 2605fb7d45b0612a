// The elements of one axis: its slider among the controls, and its row of the traversals. A name that a person gave is
// text and goes through value and textContent only. What a person does is told to `on`, the Live canvas.

function buildControl(axis, on) {
  const { id, stops, home, band, nameable, names } = axis;
  const control = element("div", "axis");
  const line = element("div", "line");
  const name = element("input", "name");
  Object.assign(name, { type: "text", maxLength: 60, spellcheck: false, autocomplete: "off" });
  if (nameable) name.title = "Give this axis a name";
  else Object.assign(name, { readOnly: true, tabIndex: -1 });
  const [label, note, output] = [element("span", "label"), element("span", "note"), element("output", names.length ? "named" : "")];
  output.setAttribute("aria-hidden", "true"); // the slider says the same as its value
  line.append(name, label, note, output);

  const track = element("div", "track");
  const marks = element("div", "scale");
  if (band) marks.append(span("band", position(stops, band[0]), position(stops, band[1])));
  if (stops[0] < 0 && stops.at(-1) > 0) marks.append(span("zero", position(stops, 0)));
  const slider = element("input", "");
  Object.assign(slider, { type: "range", min: 0, max: stops.length - 1, step: 1 });
  slider.title = `Drag, or use the arrow keys. Double-click: back to ${names.length ? said(axis, home) : trim(home)}`;
  track.append(element("div", "rail"), marks, slider);
  control.append(line, track);

  hearSlider(slider, axis, on);
  hearName(name, id, on);
  control.addEventListener("pointerenter", () => on.near(id));
  control.addEventListener("pointerleave", () => on.away());
  return { control, name, label, note, output, slider };
}

// Tells `on` how a person moves an axis. A finger moves it where it lands, before it is known to scroll the page: then
// the browser cancels the pointer, and the axis goes back.
function hearSlider(slider, { id, stops, home }, on) {
  let byKey = false; // a change by arrow keys comes with every press, one by pointer only on release
  let before = 0; // where the axis stood when the pointer went down
  slider.addEventListener("keydown", () => (byKey = true));
  slider.addEventListener("pointerdown", () => {
    [byKey, before] = [false, on.value(id)];
    on.grab(id);
  });
  slider.addEventListener("input", () => {
    const stop = stops[slider.value]; // before grabbing, which puts every slider where its axis stands
    on.grab(id);
    on.move(id, stop);
  });
  slider.addEventListener("change", () => (byKey ? on.soon() : on.release()));
  slider.addEventListener("pointerup", () => on.letGo()); // a press without a move brings no change
  slider.addEventListener("pointercancel", () => {
    on.move(id, before);
    on.release();
  });
  slider.addEventListener("blur", () => on.settle());
  slider.addEventListener("dblclick", () => on.jump(id, stops[nearest(stops, home)]));
  slider.addEventListener("focus", () => on.near(id));
}

// Tells `on` a name once it is given: Enter or leaving the field gives it, Escape does not.
function hearName(name, id, on) {
  let before = "";
  name.addEventListener("focus", () => (before = name.value));
  name.addEventListener("change", () => on.rename(id, name.value.trim()));
  for (const type of ["keydown", "keypress", "keyup"]) {
    name.addEventListener(type, (event) => event.stopPropagation()); // typed letters are no shortcuts of the page
  }
  name.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") name.value = before;
    if (key === "Escape" || key === "Enter") name.blur();
  });
}

// Adds the row to `part`, the elements of its axis.
function buildRow(part, { id, stops, columns }, headed, on) {
  const row = element("div", "row");
  const heads = headed ? element("div", "heads") : null;
  const who = element("div", "who");
  const [title, noted] = [element("span", "title"), element("span", "note")];
  who.append(title, noted);
  const [box, cells, mark] = [element("div", "cells"), element("canvas", ""), element("div", "mark")];
  cells.setAttribute("aria-hidden", "true");
  box.append(cells, mark);
  row.append(...(heads ? [heads] : []), who, box);
  Object.assign(part, { row, heads, title, noted, cells, mark });
  box.addEventListener("click", (event) => {
    const column = Math.floor((event.clientX - box.getBoundingClientRect().left) / part.pitch);
    on.jump(id, stops[columns[Math.max(0, Math.min(columns.length - 1, column))]]);
  });
}

function span(className, from, to = from) {
  const node = element("div", className);
  node.style.left = `${100 * from}%`;
  if (to > from) node.style.width = `${100 * (to - from)}%`;
  return node;
}
