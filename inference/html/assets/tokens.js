// Tokens: how one is coloured, drawn and described.

const SHARES = [0.9, 0.7, 0.5, 0.3, 0.1, 0.03, 0.01, 0.001]; // levels 0 to 8: at least so probable
const NATS = [0.01, 0.1, 0.3, 1, 2, 4, 8, 16]; // levels 0 to 8: less than so much
const COUNTS = [1, 2, 3, 5, 9, 17, 65, 257];

const COLOURS = {
  prob: { hue: "warm", names: ["p ≥ 0.9", ...SHARES.slice(1).map(String), "less"] },
  mass: { hue: "cold", names: ["Z ≥ 0.9", ...SHARES.slice(1).map(String), "less"] },
  weight: { hue: "warm", names: ["Δ ≈ 0", ...NATS.slice(0, -1).map((x) => `−${x}`), "−16 nats"] },
  rejected: { hue: "violet", names: ["none", ...COUNTS.map((n) => `${n}+`)] },
};

/** The class that colours a node. */
function shade(lineages, node, mode) {
  const level = (x, edges) => {
    const k = edges.findIndex((edge) => x < edge);
    return k < 0 ? edges.length : k;
  };
  const rare = (log) => {
    const k = SHARES.findIndex((share) => log >= Math.log(share) - 1e-4);
    return k < 0 ? SHARES.length : k;
  };
  if (mode === "rejected") return `violet${level(lineages.rejected[node]?.[0] ?? 0, COUNTS)}`;
  if (mode === "weight") {
    const delta = lineages.logWeight[node] ?? -Infinity;
    return `${delta > 0 ? "green" : "warm"}${level(Math.abs(delta), NATS)}`;
  }
  if (mode === "mass") return `cold${rare(lineages.logMass[node] === null ? -Infinity : lineages.logMass[node] + (lineages.logDraw[node] ?? 0))}`;
  return lineages.logProb[node] === null ? "" : `warm${rare(lineages.logProb[node])}`;
}

/** The elements of a piece of a row. */
function drawPiece(lineages, [node, text], mode, wraps) {
  const flags = lineages.flags[node];
  if (flags & FLAG.START) return [];
  const classes = ["t"];
  let shown = visible(text, wraps);
  if (flags & FLAG.DEATH) {
    classes.push("death");
    shown = "✕";
  } else if (flags & FLAG.DROPPED) {
    classes.push("end");
    shown = " ⇥";
  } else {
    classes.push(shade(lineages, node, mode));
    if (flags & FLAG.FORCED) classes.push("forced");
    if (flags & FLAG.CHOICE) classes.push("choice");
    if (lineages.rejected[node]) classes.push("rejecting");
    if (shown === "" && !(flags & FLAG.ENDS)) shown = "·"; // part of a character that a later token completes
  }
  const span = make("span", classes.join(" "), shown);
  if (flags & FLAG.ENDS) span.append(make("span", "end", "∎"));
  if (lineages.deaths.has(node) && !(flags & FLAG.DEATH)) span.append(make("span", "death", "✕"));
  span.dataset.node = node;
  if (!(flags & FLAG.FIRST) || lineages.sites.length < 2) return [span];
  return [make("span", "site", visible(lineages.sites[lineages.site[node]])), span];
}

/** The description of a node: a list of terms and their details. */
function describe(lineages, row, node) {
  const list = make("dl");
  const line = (term, ...detail) => list.append(make("dt", "", term), make("dd", "", ...detail));
  const quoted = (k) => {
    const symbol = lineages.symbols[k];
    if (symbol === "") return "∎ (the end)";
    return typeof symbol === "string" ? `“${visible(symbol)}”` : `bytes ${symbol.map((b) => b.toString(16).padStart(2, "0")).join(" ")}`;
  };
  const flags = lineages.flags[node];
  const symbol = lineages.symbol[node];
  if (symbol >= 0) {
    const id = lineages.ids[symbol];
    line(flags & FLAG.CHOICE ? "choice" : "token", make("b", "", quoted(symbol)), id >= 0 ? `  id ${id}` : "");
    line("log-probability", `${digits(lineages.logProb[node])}  (p ${digits(Math.exp(lineages.logProb[node]), 3)})`);
  }
  const mass = lineages.logMass[node];
  line("log-weight", `${signed(lineages.logWeight[node])} nats`);
  if (mass !== 0) line("· mass Z", `${signed(mass)}  (Z ${digits(mass === null ? 0 : Math.exp(mass), 3)})`);
  if (lineages.logDraw[node] !== 0) line("· draw", signed(lineages.logDraw[node]));
  const rest = lineages.logWeight[node] - mass - lineages.logDraw[node];
  if (lineages.logWeight[node] !== null && Math.abs(rest) > 5e-4) line("· potentials, program", signed(rest));
  const kernel = lineages.kernel[node] < 0 ? "" : `, ${lineages.kernels[lineages.kernel[node]]}`;
  line("where", `tick ${lineages.tick[node]}, place ${lineages.lane[node]}${kernel}${flags & FLAG.FORCED ? ", forced" : ""}`);
  if (lineages.site[node] >= 0) line("site", visible(lineages.sites[lineages.site[node]]));
  if (lineages.position && lineages.position[node] >= 0) line("position", lineages.position[node]);
  if (flags & FLAG.DROPPED && !(flags & FLAG.DEATH)) line("fate", "resampled away");
  const refused = lineages.rejected[node];
  if (refused) {
    const more = refused[0] > refused.length - 1 ? " …" : "";
    line("rejected", `${refused[0]}: ${refused.slice(1).map(quoted).join(" ")}${more}`);
  }
  if (row !== null && lineages.death(row) !== null && node === lineages.rows.tip[row]) line("died", visible(lineages.death(row)));
  return list;
}

/** A number with its sign. */
function signed(x) {
  return x > 0 ? `+${digits(x)}` : digits(x);
}

/** Fill in the legend of a way to colour. */
function drawLegend(element, mode) {
  const { hue, names } = COLOURS[mode];
  element.replaceChildren(
    ...names.map((name, level) => make("span", `t ${hue}${level}`, name)),
    ...(mode === "weight" ? [make("span", "t green5", "gains")] : []),
    make("span", "t forced", "forced"),
    make("span", "t rejecting", "after rejections"),
    make("span", "t choice", "choice"),
    make("span", "t death", "✕ died"),
  );
}
