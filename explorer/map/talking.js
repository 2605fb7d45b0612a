// What the server hears: what a person looks at, once the pointer or the view rests; and what is selected.

const REST = 80; // ms that a pointer rests before it is asked what is there
const SETTLE = 250; // ms after the last pan or zoom before the decodes of the new view are asked for

class Talk {
  constructor(map) {
    Object.assign(this, { map, resting: 0, settling: 0, said: "", number: Date.now() });
  }

  hush() {
    clearTimeout(this.resting);
    clearTimeout(this.settling);
  }

  leave() {
    clearTimeout(this.resting);
  }

  rest() {
    clearTimeout(this.resting);
    if (this.map.cloud.header.asks) this.resting = setTimeout(() => this.ask(), REST);
  }

  settle() {
    clearTimeout(this.settling);
    if (this.map.cloud.header.decodes) this.settling = setTimeout(() => this.ask(), SETTLE);
  }

  ask() {
    const { cloud, camera, hover } = this.map;
    const { view } = camera;
    const corners = [...cloud.outward(view.slice(0, 2)), ...cloud.outward(view.slice(2))];
    const asked = { revision: cloud.header.revision, point: hover?.point ?? -1, place: hover?.place ?? null, view: corners };
    const text = JSON.stringify(asked);
    if (text !== this.said) this.send("asked", asked);
    this.said = text;
  }

  choose(kind, what) {
    const { header, hidden } = this.map.cloud;
    this.number += 1; // the same lasso twice is two selections
    this.send("chosen", { revision: header.revision, kind, hidden: [...hidden], levels: header.classes?.name ?? "", number: this.number, ...what });
  }
}
