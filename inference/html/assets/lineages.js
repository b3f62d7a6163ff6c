"use strict";
// Lineages: the recorded moves as a forest, and the rows of the page as paths through it.

const FLAG = { START: 1, FIRST: 2, ENDS: 4, FORCED: 8, CHOICE: 16, DEATH: 32, DROPPED: 64 };

/** A text with what does not print made visible; `wraps`: newlines break the line, too. */
function visible(text, wraps = false) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu, (c) => {
    const code = c.codePointAt(0);
    if (code === 0x200c || code === 0x200d) return c; // joiners are part of how scripts and emoji are spelled
    if (code === 10) return wraps ? "↵\n" : "↵";
    if (code === 9) return "⇥";
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

/** The forest of moves and its rows. */
class Lineages {
  constructor(record) {
    Object.assign(this, record);
    const size = this.parent.length;
    this.depth = new Int32Array(size);
    for (let k = 0; k < size; k++) {
      this.parent[k] = this.parent[k] === 0 ? -1 : k - this.parent[k];
      this.depth[k] = this.parent[k] < 0 ? 0 : this.depth[this.parent[k]] + 1;
    }
    this.samples = this.rows.value.length;
    this.count = this.rows.tip.length;
    this.deaths = new Set(this.rows.tip.slice(this.samples, this.samples + this.rows.dead.length));
    this.plain = new Array(this.count);
    this.cached = new Map();
  }

  /** "sample", "dead" or "dropped". */
  fate(row) {
    if (row < this.samples) return "sample";
    return row < this.samples + this.rows.dead.length ? "dead" : "dropped";
  }

  /** Why a row's particle died, or null. */
  death(row) {
    return this.fate(row) === "dead" ? this.rows.reasons[this.rows.dead[row - this.samples]] : null;
  }

  /** The tick in which a row was resampled away; null if it was not, or nobody knows. */
  droppedAt(row) {
    const tip = this.rows.tip[row];
    return this.flags[tip] & FLAG.DROPPED ? this.tick[tip] : null;
  }

  /** The nodes of a row from its start, in reading order: positions of a masked-diffusion text are sorted. */
  path(row) {
    const nodes = [];
    for (let k = this.rows.tip[row]; k >= 0; k = this.parent[k]) nodes.push(k);
    nodes.reverse();
    if (this.position) this.#read(nodes);
    return nodes;
  }

  #read(nodes) {
    for (let start = 0; start < nodes.length; start++) {
      if (this.position[nodes[start]] < 0) continue;
      let end = start + 1;
      while (end < nodes.length && this.position[nodes[end]] >= 0 && !(this.flags[nodes[end]] & FLAG.FIRST)) end++;
      nodes.splice(start, end - start, ...nodes.slice(start, end).sort((a, b) => this.position[a] - this.position[b]));
      start = end - 1;
    }
  }

  /** The pieces of a row: [node, text], text as it is spelled. A character of several tokens stands at its last. */
  pieces(row) {
    if (this.cached.has(row)) return this.cached.get(row);
    let decoder = new TextDecoder();
    const pieces = [];
    for (const node of this.path(row)) {
      const symbol = this.symbol[node] < 0 ? "" : this.symbols[this.symbol[node]];
      if (this.flags[node] & (FLAG.FIRST | FLAG.CHOICE)) decoder = new TextDecoder();
      const bytes = typeof symbol === "string" ? null : Uint8Array.from(symbol);
      const text = bytes ? decoder.decode(bytes, { stream: true }) : decoder.decode() + symbol;
      pieces.push([node, text]);
    }
    if (this.cached.size > 500) this.cached.clear();
    this.cached.set(row, pieces);
    return pieces;
  }

  /** A row's text as it is searched: its pieces side by side, in lower case where that keeps their lengths. */
  text(row) {
    return (this.plain[row] ??= folded(this.pieces(row).map((piece) => piece[1]).join("")));
  }
}

/** A text in lower case, unless that would move its characters. */
function folded(text) {
  const lower = text.toLowerCase();
  return lower.length === text.length ? lower : text;
}

/** An element with a class, and children: texts become text nodes, never markup. */
function make(tag, name = "", ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

/** A number to some digits, with a true minus sign. */
function digits(x, n = 4) {
  if (x === null || x === undefined) return "−∞";
  return String(Number(x.toPrecision(n))).replace("-", "−");
}
