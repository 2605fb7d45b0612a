// The palette: a tile for each code, tried under the pointer and taken by a click. A tile shows the chosen cells with
// this code in them, or a constant grid of it.

const MANY = 160; // codes above which tiles are smaller

class Palette {
  // `on` hears try(code or null), take(code), leave() and travel(forward).
  constructor(root, on) {
    Object.assign(this, { root, on, inContext: true, places: new Map() });
    const box = (this.box = root.querySelector(".palette"));
    box.addEventListener("pointerover", (event) => on.try(this.codeOf(event)));
    box.addEventListener("pointerleave", () => on.try(null));
    box.addEventListener("focusin", (event) => {
      if (event.target.matches(":focus-visible")) on.try(this.codeOf(event));
    });
    box.addEventListener("focusout", () => on.try(null));
    box.addEventListener("click", (event) => on.take(this.codeOf(event)));
    box.addEventListener("keydown", (event) => this.key(event));
    root.querySelector(".constant").addEventListener("click", () => this.tile(false));
    root.querySelector(".context").addEventListener("click", () => this.tile(true));
  }

  receive(header, decodes) {
    Object.assign(this, { header, decodes });
    this.sprite = sprite(decodes.tiles);
    this.around = null; // the sprite of the candidates, made when it is asked for
    const { palette } = header;
    if (palette.join() !== [...this.places.keys()].join()) this.build(palette);
    this.tile(this.inContext);
  }

  build(palette) {
    this.places = new Map(palette.map((code, at) => [code, at]));
    this.box.classList.toggle("many", palette.length > MANY);
    this.box.replaceChildren(...palette.map((code, at) => {
      const node = element("button", this.header.usage[at] ? "code" : "code dead");
      node.type = "button";
      node.dataset.code = code;
      node.setAttribute("role", "option");
      node.setAttribute("aria-label", this.named(code));
      return node;
    }));
  }

  codeOf(event) {
    const node = event.target.closest?.(".code");
    return node ? Number(node.dataset.code) : null;
  }

  focus(code) {
    this.box.children[this.places.get(code)]?.focus();
  }

  named(code) {
    const share = this.header.usage[this.places.get(code)];
    if (share === undefined) return `code ${code}`;
    if (!share) return `code ${code}, unused`;
    return `code ${code}, in ${fixed(100 * share, share < 0.001 ? 3 : 1)} % of the data's cells`;
  }

  key(event) {
    const codes = [...this.box.children];
    const at = codes.indexOf(event.target.closest(".code"));
    const across = Math.max(1, codes.filter((node) => node.offsetTop === codes[0].offsetTop).length);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
    const letter = event.key.toLowerCase();
    if (step) codes[at + step]?.focus();
    else if (event.key === "Escape") this.on.leave();
    else if ((event.ctrlKey || event.metaKey) && (letter === "z" || letter === "y")) {
      this.on.travel(letter === "y" || event.shiftKey);
    } else return; // Enter and the space bar click
    event.preventDefault();
    event.stopPropagation();
  }

  tile(inContext) {
    this.inContext = inContext;
    this.root.querySelector(".constant").setAttribute("aria-pressed", !inContext);
    this.root.querySelector(".context").setAttribute("aria-pressed", inContext);
    const { codes, pictures } = this.decodes.candidates;
    if (inContext) this.around ??= sprite(cropped(pictures, this.near()));
    for (const node of this.box.children) {
      const code = Number(node.dataset.code);
      const at = inContext ? codes.indexOf(code) : this.places.get(code);
      node.classList.toggle("unseen", at < 0); // the payload held only the more used
      if (at >= 0) placeTile(node, inContext ? this.around : this.sprite, at);
      else node.removeAttribute("style");
      node.title = at < 0 ? `${this.named(code)}; click to see` : this.named(code);
    }
  }

  // Of the candidates, the chosen cells with half a cell around them: farther away they hardly differ.
  near() {
    const { box, cells } = this.decodes.candidates;
    const own = [...cells].map((cell) => this.header.own[cell]);
    const edge = (end, axis) => {
      const half = Math.ceil((own[0][axis + 2] - own[0][axis]) / 2);
      const sides = own.map((each) => each[axis + 2 * end]);
      const at = end ? Math.min(box[axis + 2], Math.max(...sides) + half) : Math.max(box[axis], Math.min(...sides) - half);
      return at - box[axis];
    };
    return [edge(0, 0), edge(0, 1), edge(1, 0), edge(1, 1)];
  }

  // Mark the codes that are held by the chosen cells, those that are lit, and the one that Tab goes to.
  show(held, lit, current) {
    for (const node of this.box.children) {
      const code = Number(node.dataset.code);
      node.classList.toggle("held", held.has(code));
      node.classList.toggle("lit", lit.has(code));
      node.tabIndex = code === current ? 0 : -1;
      node.setAttribute("aria-selected", held.has(code));
    }
  }
}
