// Particles: the list of lineages. Only rows near the view have content, so that thousands of rows scroll smoothly.

class ParticleList {
  constructor(lineages, elements, onSelect) {
    Object.assign(this, { lineages, ...elements, onSelect });
    this.fates = new Set(["sample"]);
    this.value = null; // the rank of the only value shown
    this.query = "";
    this.mode = "prob";
    this.selected = -1;
    this.cursor = -1; // index into the tokens of the selected row
    this.unfolded = new Set();
    this.rows = [];
    this.elements = new Map();
    this.observer = new IntersectionObserver((entries) => entries.forEach((e) => this.#seen(e)), {
      root: this.list,
      rootMargin: "800px 0px",
    });
    this.list.addEventListener("pointermove", (event) => this.#hover(event));
    this.list.addEventListener("pointerleave", () => this.tip.hide());
    this.list.addEventListener("click", (event) => this.#click(event));
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("blur", () => this.tip.hide());
    new ResizeObserver(() => this.#measure()).observe(this.list);
    this.lines = this.#longest() > 120 ? 3 : 0;
    this.#measure();
    this.filter();
  }

  /** Show the rows that the filters leave. */
  filter() {
    const { lineages } = this;
    const query = folded(this.query);
    this.rows = [];
    for (let row = 0; row < lineages.count; row++) {
      if (!this.fates.has(lineages.fate(row))) continue;
      if (this.value !== null && lineages.rows.value[row] !== this.value) continue;
      if (query && !lineages.text(row).includes(query)) continue;
      this.rows.push(row);
    }
    this.observer.disconnect();
    this.elements.clear();
    const fragment = document.createDocumentFragment();
    this.rows.forEach((row, at) => fragment.append(this.#placeholder(row, at)));
    this.list.replaceChildren(fragment);
    this.list.scrollTop = 0;
    for (const element of this.list.children) this.observer.observe(element);
    this.shown.textContent = `${this.rows.length} of ${lineages.count} lineages`;
    if (!this.elements.has(this.selected)) this.select(-1);
    else this.select(this.selected);
  }

  /** Draw again what is drawn: colours, the query or the width of lines have changed. */
  redraw() {
    for (const [row, element] of this.elements) {
      this.#size(row, element);
      if (element.firstChild) this.#draw(row, element);
    }
  }

  /** Select a row (-1: none) and show where it came from. */
  select(row, { reveal = false } = {}) {
    this.elements.get(this.selected)?.setAttribute("aria-selected", "false");
    if (row !== this.selected) this.cursor = -1;
    this.selected = row;
    const element = this.elements.get(row);
    element?.setAttribute("aria-selected", "true");
    if (element) this.list.setAttribute("aria-activedescendant", element.id);
    else this.list.removeAttribute("aria-activedescendant");
    if (element && reveal) {
      if (!element.firstChild) this.#draw(row, element);
      element.scrollIntoView({ block: "nearest" });
    }
    this.onSelect(row);
  }

  #longest() {
    let longest = 0;
    for (const tip of this.lineages.rows.tip) longest = Math.max(longest, this.lineages.depth[tip]);
    return longest;
  }

  #measure() {
    const probe = make("span", "t", "0".repeat(50));
    this.list.append(probe);
    const width = probe.getBoundingClientRect().width / 50;
    probe.remove();
    const columns = Math.max(20, Math.floor((this.list.clientWidth - 150) / (width || 8)));
    if (columns === this.columns) return;
    this.columns = columns;
    this.redraw();
  }

  #placeholder(row, at) {
    const element = make("div", "row");
    element.id = `row-${row}`;
    element.dataset.row = row;
    element.setAttribute("role", "option");
    element.setAttribute("aria-selected", "false");
    element.setAttribute("aria-posinset", at + 1);
    element.setAttribute("aria-setsize", this.rows.length);
    this.elements.set(row, element);
    this.#size(row, element);
    return element;
  }

  /** Lines that a row may have; 0: as many as it needs. */
  #limit(row) {
    return this.unfolded.has(row) ? 0 : this.lines;
  }

  /** Reserve the height that a row without content is likely to have. */
  #size(row, element) {
    const limit = this.#limit(row);
    const needed = Math.ceil((this.lineages.depth[this.lineages.rows.tip[row]] * 4.5) / this.columns) || 1;
    element.style.setProperty("--lines", limit ? Math.min(limit, needed) : needed);
    element.classList.toggle("clipped", limit > 0);
  }

  #seen({ target, isIntersecting }) {
    const row = Number(target.dataset.row);
    if (isIntersecting && !target.firstChild) {
      this.#draw(row, target);
    } else if (!isIntersecting && target.firstChild && row !== this.selected) {
      target.style.setProperty("--height", `${target.offsetHeight}px`); // what it was, lest the list jump
      target.replaceChildren();
    }
  }

  #draw(row, element) {
    const { lineages } = this;
    const limit = this.#limit(row);
    const text = make("div", "text");
    text.dir = "auto";
    const found = this.#matches(row);
    let characters = 0;
    let folds = false;
    for (const piece of lineages.pieces(row)) {
      const drawn = drawPiece(lineages, piece, this.mode, limit === 0);
      const end = characters + piece[1].length;
      if (found.some(([a, b]) => a < end && b > characters)) drawn.at(-1)?.classList.add("found");
      text.append(...drawn);
      characters = end;
      if (limit && characters > this.columns * (limit + 1)) {
        folds = true;
        break;
      }
    }
    element.replaceChildren(this.#head(row), text);
    element.style.removeProperty("--height");
    element.classList.toggle("folds", folds);
    if (row === this.selected && this.cursor >= 0) this.#mark();
  }

  #head(row) {
    const { lineages } = this;
    const fate = lineages.fate(row);
    const head = make("div", `head ${fate}`);
    if (fate === "sample") {
      const weight = lineages.rows.weight[row];
      const meter = make("span", "bar");
      meter.style.setProperty("--share", weight / lineages.rows.weight[0]);
      head.append(make("span", "number", weight >= 5e-5 || weight === 0 ? weight.toFixed(4) : weight.toExponential(1)), meter);
      head.title = `weight ${weight}, value ${lineages.rows.value[row] + 1} of the list`;
    } else {
      const tick = fate === "dead" ? lineages.tick[lineages.rows.tip[row]] : lineages.droppedAt(row);
      head.append(fate === "dead" ? `died, ${tick}` : tick === null ? "not kept" : `dropped, ${tick}`);
      head.title = lineages.death(row) === null ? "resampled away, or not kept" : visible(lineages.death(row));
    }
    return head;
  }

  /** Where the query stands in a row: pairs of places in its text. */
  #matches(row) {
    const query = folded(this.query);
    if (!query) return [];
    const found = [];
    const text = this.lineages.text(row);
    for (let at = text.indexOf(query); at >= 0 && found.length < 200; at = text.indexOf(query, at + query.length)) {
      found.push([at, at + query.length]);
    }
    return found;
  }

  // Pointer and keyboard.

  #hover(event) {
    const token = event.target.closest?.("[data-node]");
    if (token) this.tip.show(this.#description(token), token.getClientRects()[0], event);
    else this.tip.hide();
  }

  #description(token) {
    return describe(this.lineages, Number(token.closest(".row").dataset.row), Number(token.dataset.node));
  }

  #click(event) {
    const element = event.target.closest?.(".row");
    if (!element) return;
    const row = Number(element.dataset.row);
    if (row === this.selected && !getSelection().toString()) this.#unfold(row);
    this.select(row);
  }

  #unfold(row) {
    if (!this.unfolded.delete(row)) this.unfolded.add(row);
    const element = this.elements.get(row);
    this.#size(row, element);
    this.#draw(row, element);
  }

  #key(event) {
    const at = this.rows.indexOf(this.selected);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    const tokens = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    if (event.key in moves && this.rows.length) {
      const next = at < 0 ? 0 : Math.min(Math.max(at + moves[event.key], 0), this.rows.length - 1);
      this.tip.hide();
      this.select(this.rows[next], { reveal: true });
    } else if (event.key in tokens && at >= 0) {
      this.#move(tokens[event.key]);
    } else if ((event.key === "Enter" || event.key === " ") && at >= 0) {
      this.#unfold(this.selected);
    } else if (event.key === "Escape") {
      this.tip.hide();
      this.select(-1);
    } else {
      return;
    }
    event.preventDefault();
  }

  /** Move the cursor by some tokens; a folded row unfolds where it would leave what is drawn. */
  #move(by) {
    const element = this.elements.get(this.selected);
    if (!element.firstChild) this.#draw(this.selected, element);
    let count = element.querySelectorAll("[data-node]").length;
    if (element.classList.contains("folds") && this.cursor + by >= count) {
      this.#unfold(this.selected);
      count = element.querySelectorAll("[data-node]").length;
    }
    this.cursor = Math.min(Math.max(this.cursor + by, 0), count - 1);
    this.#mark();
    const token = element.querySelector(".cursor");
    if (!token) return;
    token.scrollIntoView({ block: "nearest" });
    this.tip.show(this.#description(token), token.getClientRects()[0]);
    this.onSelect(this.selected, Number(token.dataset.node));
  }

  #mark() {
    const element = this.elements.get(this.selected);
    element.querySelector(".cursor")?.classList.remove("cursor");
    element.querySelectorAll("[data-node]")[this.cursor]?.classList.add("cursor");
  }
}

/** The box beside the pointer or the cursor. */
class Tip {
  constructor(element) {
    this.element = element;
  }

  /** Show content beside a rectangle of the window. */
  show(content, box) {
    const { element } = this;
    element.replaceChildren(content);
    element.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = element;
    const below = box.bottom + 8;
    element.style.left = `${Math.max(8, Math.min(box.left, innerWidth - width - 8))}px`;
    element.style.top = `${below + height < innerHeight ? below : Math.max(8, box.top - height - 8)}px`;
  }

  hide() {
    this.element.hidden = true;
  }
}
