// Charts: curves over the ticks, with one tick marked in all of them.

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A curve over ticks 1, 2, ...; `values` may hold null for what is not finite. */
class Chart {
  constructor(parent, { title, values, floor, marks = [], onTick }) {
    Object.assign(this, { title, values, floor, marks, onTick });
    this.caption = make("figcaption");
    this.figure = make("figure", "chart", this.caption);
    this.figure.tabIndex = 0;
    parent.append(this.figure);
    this.figure.addEventListener("pointermove", (event) => onTick(this.#tickAt(event)));
    this.figure.addEventListener("pointerleave", () => onTick(null));
    this.figure.addEventListener("keydown", (event) => this.#key(event));
    this.figure.addEventListener("blur", () => onTick(null));
    new ResizeObserver(() => this.draw()).observe(this.figure);
    this.mark(null);
  }

  draw() {
    const width = this.figure.clientWidth;
    if (width === this.width || width < 50) return;
    this.width = width;
    const height = 92;
    const finite = this.values.filter((v) => v !== null);
    let low = Math.min(...finite, this.floor ?? Infinity);
    let high = Math.max(...finite);
    if (!finite.length) [low, high] = [0, 1];
    if (high === low) high = low + 1;
    this.x = (tick) => 44 + ((tick - 1) / Math.max(this.values.length - 1, 1)) * (width - 56);
    this.y = (value) => height - 16 - ((value - low) / (high - low)) * (height - 24);
    let path = "";
    this.values.forEach((v, k) => {
      if (v !== null) path += `${path && this.values[k - 1] !== null ? "L" : "M"}${this.x(k + 1).toFixed(1)},${this.y(v).toFixed(1)}`;
    });
    const label = (v) => svg("text", { x: 40, y: this.y(v) + 4, "text-anchor": "end" }, digits(v, 3));
    this.line = svg("line", { class: "now", y1: 4, y2: height - 12, visibility: "hidden" });
    this.drawing?.remove();
    this.drawing = svg(
      "svg",
      { width, height, role: "img", "aria-label": `${this.title}, from ${digits(this.values[0])} to ${digits(this.values.at(-1))}` },
      svg("path", { class: "axis", d: `M44,${this.y(low)}H${width - 12}M44,${this.y(high)}H${width - 12}` }),
      svg("path", { class: "marks", d: this.marks.map((t) => `M${this.x(t).toFixed(1)},${height - 12}v6`).join("") }),
      svg("path", { class: "curve", d: path }),
      ...(finite.length === 1 ? [svg("circle", { class: "dot", r: 3, cx: this.x(1), cy: this.y(finite[0]) })] : []),
      label(low),
      label(high),
      this.line,
    );
    this.figure.append(this.drawing);
  }

  /** Mark a tick, or none, and say what its value is. */
  mark(tick) {
    this.tick = tick;
    const at = tick ?? this.values.length;
    const value = make("b", "", digits(this.values[at - 1]));
    const resampled = tick !== null && this.marks.includes(tick) ? ", resampled" : "";
    this.caption.replaceChildren(this.title, " ", value, make("span", "quiet", ` at tick ${at}${resampled}`));
    if (!this.line) return;
    this.line.setAttribute("visibility", tick === null ? "hidden" : "visible");
    if (tick !== null) for (const end of ["x1", "x2"]) this.line.setAttribute(end, this.x(tick));
  }

  #tickAt(event) {
    const share = (event.clientX - this.figure.getBoundingClientRect().left - 44) / (this.width - 56);
    return Math.min(Math.max(Math.round(share * (this.values.length - 1)) + 1, 1), this.values.length);
  }

  #key(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    this.onTick(Math.min(Math.max((this.tick ?? (by > 0 ? 0 : this.values.length + 1)) + by, 1), this.values.length));
  }
}
