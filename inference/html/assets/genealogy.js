// Genealogy: who descends from whom. Time runs to the right, each particle has its place from top to bottom.

class Genealogy {
  /**
   * `ancestors[t]`: for each place after the resampling of tick t + 1 the place before it, or undefined.
   * `record`: the lineages, if moves have the same ticks; else null.
   */
  constructor(canvas, { ticks, size, ancestors, record, tip, onSelect, onTick }) {
    Object.assign(this, { canvas, ticks, size, ancestors, record, tip, onSelect, onTick });
    this.back = document.createElement("canvas");
    this.path = null;
    this.tick = null;
    this.at = null; // [tick, place] under the pointer or the keyboard's cursor
    this.#trace();
    canvas.addEventListener("pointermove", (event) => this.#hover(event));
    canvas.addEventListener("pointerleave", () => this.#leave());
    canvas.addEventListener("blur", () => this.#leave());
    canvas.addEventListener("click", () => this.#pick());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Find which places have descendants at the end, and where particles died. */
  #trace() {
    const { size, ticks, record } = this;
    this.ended = new Map(); // place → sorted ticks of deaths there
    this.nodes = new Map(); // tick · size + place → node
    const last = new Uint8Array(size).fill(record ? 0 : 1);
    if (record) {
      for (let row = 0; row < record.samples; row++) last[record.rows.lane[row]] = 1;
      record.tick.forEach((tick, node) => {
        if (!(record.flags[node] & FLAG.DROPPED)) this.nodes.set(tick * size + record.lane[node], node); // the last of a tick
      });
      for (let row = record.samples; row < record.count; row++) {
        if (record.fate(row) !== "dead") continue;
        const node = record.rows.tip[row];
        const at = this.ended.get(record.lane[node]) ?? [];
        this.ended.set(record.lane[node], [...at, record.tick[node] - this.#gone(node)]);
      }
    }
    this.survives = new Array(ticks + 1);
    this.survives[ticks] = last;
    for (let t = ticks; t > 0; t--) {
      const from = this.ancestors[t - 1];
      if (!from) {
        this.survives[t - 1] = this.survives[t];
        continue;
      }
      this.survives[t - 1] = new Uint8Array(size);
      for (let j = 0; j < size; j++) if (this.survives[t][j]) this.survives[t - 1][from[j]] = 1;
    }
  }

  /** The places of a lineage from tick 0 to the one where it stands at `place`. */
  lineage(tick, place) {
    const places = new Array(tick + 1);
    for (let t = tick; t >= 0; t--) {
      places[t] = place;
      if (t > 0 && this.ancestors[t - 1]) place = this.ancestors[t - 1][place];
    }
    return places;
  }

  /** The places of a row's lineage from tick 0 to its end. */
  #course(row) {
    const { record } = this;
    if (record.fate(row) === "sample") return this.lineage(this.ticks, record.rows.lane[row]);
    const node = record.rows.tip[row];
    return this.lineage(record.tick[node] - this.#gone(node), record.lane[node]);
  }

  /** 1 if a node's place is that before the resampling of its tick, and so one of the tick before; else 0. */
  #gone(node) {
    return this.record.flags[node] & FLAG.DROPPED ? 1 : 0;
  }

  /** Show the lineage of a row of the list; null: none. */
  show(row) {
    this.path = row !== null && row >= 0 && this.record ? this.#course(row) : null;
    this.overlay();
  }

  mark(tick) {
    this.tick = tick;
    this.overlay();
  }

  draw() {
    const { canvas, back } = this;
    const ratio = devicePixelRatio || 1;
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    if (!this.width) return;
    for (const each of [canvas, back]) Object.assign(each, { width: this.width * ratio, height: this.height * ratio });
    const context = back.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const strong of [false, true]) {
      context.strokeStyle = this.#colour(strong ? "--strong" : "--faint");
      context.lineWidth = Math.min(strong ? 2 : 1.5, Math.max(0.5, (this.height / this.size) * 0.3));
      context.stroke(this.#lines(strong));
    }
    context.fillStyle = this.#colour("--bad");
    for (const [place, ticks] of this.ended) for (const t of ticks) context.fillRect(this.#x(t) - 2, this.#y(place) - 2, 4, 4);
    this.overlay();
  }

  /** The lines of the survivors' ancestors, or of the others, one straight piece between two resamplings. */
  #lines(strong) {
    const lines = new Path2D();
    for (let j = 0; j < this.size; j++) {
      for (let t = 0; t <= this.ticks; ) {
        let end = t;
        while (end < this.ticks && !this.ancestors[end]) end++;
        if (Boolean(this.survives[t][j]) === strong) {
          const died = (this.ended.get(j) ?? []).find((tick) => tick >= t && tick <= end);
          lines.moveTo(this.#x(t), this.#y(j));
          lines.lineTo(this.#x(died ?? end), this.#y(j));
        }
        t = end + 1;
        const from = this.ancestors[end];
        if (from && Boolean(this.survives[t][j]) === strong) {
          lines.moveTo(this.#x(end), this.#y(from[j]));
          lines.lineTo(this.#x(t), this.#y(j));
        }
      }
    }
    return lines;
  }

  /** Draw what changes often over the lines. */
  overlay() {
    if (!this.width) return;
    const context = this.canvas.getContext("2d");
    const ratio = devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.back, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (this.tick !== null) {
      context.strokeStyle = this.#colour("--quiet");
      context.lineWidth = 1;
      context.strokeRect(this.#x(this.tick), 0, 0, this.height);
    }
    const paths = [this.path, this.at && this.lineage(...this.at)].filter(Boolean);
    context.strokeStyle = this.#colour("--accent");
    context.lineWidth = 2.5;
    for (const path of paths) {
      context.beginPath();
      path.forEach((place, t) => context.lineTo(this.#x(t), this.#y(place)));
      context.stroke();
    }
  }

  #x(tick) {
    if (tick === 0) return 24; // before the first tick, left of the axis
    return 44 + ((tick - 1) / Math.max(this.ticks - 1, 1)) * (this.width - 56);
  }

  #y(place) {
    return 6 + ((place + 0.5) / this.size) * (this.height - 12);
  }

  #colour(name) {
    this.canvas.style.color = `var(${name})`;
    return getComputedStyle(this.canvas).color;
  }

  #hover(event) {
    const box = this.canvas.getBoundingClientRect();
    const clamp = (x, low, high) => Math.min(Math.max(Math.round(x), low), high);
    const tick = clamp(((event.clientX - box.left - 44) / (this.width - 56)) * (this.ticks - 1) + 1, 1, this.ticks);
    const place = clamp(((event.clientY - box.top - 6) / (this.height - 12)) * this.size - 0.5, 0, this.size - 1);
    this.#look(tick, place);
  }

  #look(tick, place) {
    this.at = [tick, place];
    this.onTick(tick);
    const node = this.nodes.get(tick * this.size + place);
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [box.left + this.#x(tick), box.top + this.#y(place)];
    const where = node === undefined ? make("p", "", `tick ${tick}, place ${place}`) : describe(this.record, null, node);
    this.tip.show(where, { left: x + 10, top: y - 4, bottom: y + 4 });
  }

  #leave() {
    this.at = null;
    this.tip.hide();
    this.onTick(null);
  }

  /** Select the first row whose lineage passes the place that is looked at. */
  #pick() {
    if (!this.at || !this.record) return;
    const [tick, place] = this.at;
    for (let row = 0; row < this.record.count; row++) if (this.#course(row)[tick] === place) return void this.onSelect(row);
  }

  #key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (moves) {
      const [tick, place] = this.at ?? [1 - moves[0], 0 - moves[1]];
      this.#look(Math.min(Math.max(tick + moves[0], 1), this.ticks), Math.min(Math.max(place + moves[1], 0), this.size - 1));
    } else if (event.key === "Enter") this.#pick();
    else if (event.key === "Escape") this.#leave();
    else return;
    event.preventDefault();
  }
}
