// The legend: classes that a click turns on and off, and the scale of an amount.

class Legend {
  constructor(find, changed) {
    Object.assign(this, { find, changed, scale: [] });
  }

  // A table of 256 colours from the server's anchors, without the end that would be lost on this background.
  tabulate(anchors, dark) {
    const [from, to] = dark ? [0.22, 1] : [0, 0.88];
    const colours = anchors.map(rgb);
    this.scale = Array.from({ length: 256 }, (_, i) => {
      const at = (from + ((to - from) * i) / 255) * (colours.length - 1);
      const low = Math.min(colours.length - 2, Math.floor(at));
      return colours[low].map((value, c) => Math.round(value + (at - low) * (colours[low + 1][c] - value)));
    });
  }

  draw(cloud) {
    const { amount, classes, palette } = cloud.header;
    this.find(".scale").hidden = !amount;
    if (amount) this.drawScale(amount);
    this.find(".classes").hidden = !classes;
    if (!classes) return;
    setText(this.find(".classes .what"), `${classes.title}: click to hide or show`);
    const box = this.find(".levels");
    box.setAttribute("aria-label", classes.title);
    const form = JSON.stringify(classes.levels);
    if (form !== this.form) {
      this.form = form;
      box.replaceChildren(...classes.levels.map((_, level) => this.button(cloud, level)));
    }
    classes.levels.forEach((name, level) => {
      const button = box.children[level];
      setText(button.lastChild, name);
      button.firstChild.hidden = Boolean(amount); // its colours then mean something else
      button.style.setProperty("--swatch", palette[level % palette.length]);
      button.firstChild.dataset.open = level >= palette.length;
      button.setAttribute("aria-pressed", !cloud.hidden.has(level));
    });
  }

  button(cloud, level) {
    const button = element("button");
    button.type = "button";
    button.append(element("i"), element("span"));
    button.addEventListener("click", () => {
      cloud.hidden.has(level) ? cloud.hidden.delete(level) : cloud.hidden.add(level);
      button.setAttribute("aria-pressed", !cloud.hidden.has(level));
      this.changed();
    });
    return button;
  }

  drawScale({ title, low, high, cut }) {
    setText(this.find(".scale .what"), title);
    const canvas = this.find(".scale canvas");
    paint(canvas, { shape: [1, 256, 3], pixels: this.scale.flat() });
    const [left, right] = this.find(".ends").children;
    setText(left, `${cut ? "≤ " : ""}${short(low)}`);
    setText(right, `${cut ? "≥ " : ""}${short(high)}`);
  }
}

function short(value) {
  if (Number.isInteger(value)) return fixed(value, 0);
  const size = Math.abs(value);
  return fixed(value, size >= 100 ? 0 : size >= 10 ? 1 : 2);
}
