// The page: its parts, put together.

function start(data) {
  const $ = (id) => document.getElementById(id);
  const tip = new Tip($("tip"));
  const parts = { charts: [], list: null, genealogy: null };
  const onTick = (tick) => {
    for (const chart of parts.charts) chart.mark(tick);
    parts.genealogy?.mark(tick);
  };
  drawHeader(data, $);
  drawTheme($("theme"), () => parts.genealogy?.draw());
  drawSites(data.sites, $("sites"));
  drawCharts(data.steps, $("charts"), parts, onTick);

  const lineages = data.record && new Lineages(data.record);
  const aligned = lineages?.aligned ? lineages : null;
  const onSelect = (row) => parts.genealogy?.show(row);
  if (lineages) {
    const elements = { list: $("list"), shown: $("shown"), tip };
    parts.list = new ParticleList(lineages, elements, onSelect);
    drawTools(lineages, parts.list, $);
  } else {
    for (const id of ["tools", "legend", "list"]) $(id).hidden = true;
    $("unrecorded").hidden = false;
  }
  drawValues(data, $, parts.list);

  const ancestors = data.steps.live.map((_, k) => data.steps.ancestors[k]);
  const size = aligned ? aligned.parent.filter((p) => p < 0).length : ancestors.find(Boolean)?.length;
  if (size && data.steps.live.length) {
    $("genealogy").hidden = false;
    const canvas = $("genealogy").querySelector("canvas");
    canvas.style.height = `${Math.min(Math.max(size * 10, 90), 320)}px`;
    const select = (row) => {
      parts.list.fates.add(lineages.fate(row));
      parts.list.value = null;
      parts.list.query = $("search").value = "";
      parts.list.filter();
      syncTools(parts.list, $);
      parts.list.select(row, { reveal: true });
    };
    parts.genealogy = new Genealogy(canvas, {
      ticks: data.steps.live.length, size, ancestors, record: aligned, tip, onSelect: select, onTick,
    });
  }
}

function drawHeader(data, $) {
  $("title").textContent = `Posterior of ${visible(data.method)}`;
  document.title = `${visible(data.method)}, seed ${data.seed}`;
  $("cost").textContent = `seed ${data.seed}; ${data.cost}`;
  const figures = [
    ["log evidence", digits(data.logEvidence, 6)],
    ["ESS", digits(data.ess, 3)],
    ["samples", data.samples],
    ["distinct values", data.values.length + data.moreValues],
  ];
  $("figures").append(...figures.map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value))));
  if (data.diagnosis) {
    const said = ([severity, what, advice]) => `${severity}: ${visible(what)}\n  → ${visible(advice)}`;
    $("diagnosis").hidden = false;
    $("diagnosis").textContent = [`${data.diagnosis.verdict}:`, ...data.diagnosis.findings.map(said)].join("\n");
  }
  if (data.samples) return;
  $("dead").hidden = false;
  $("dead").textContent = `No survivors. ${visible(data.noSurvivors ?? "")}`;
}

function drawTheme(button, changed) {
  const themes = ["auto", "light", "dark"];
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % themes.length];
    document.documentElement.dataset.theme = next;
    button.textContent = `Theme: ${next}`;
    changed();
  });
}

function drawValues(data, $, list) {
  const best = data.values[0]?.[1] ?? 1;
  for (const [rank, [text, probability]] of data.values.entries()) {
    const bar = make("span", "bar");
    bar.style.setProperty("--share", probability / best);
    const value = make("code", "", visible(text));
    value.dir = "ltr"; // it is a Python expression, whatever the texts in it
    const button = make("button", "value", make("span", "number", probability.toFixed(4)), bar, value);
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.title = visible(text);
    button.disabled = !list;
    button.addEventListener("click", () => {
      list.value = list.value === rank ? null : rank;
      list.filter();
      syncTools(list, $);
    });
    $("values").append(make("li", "", button));
  }
  if (!data.values.length) $("values").replaceWith(make("p", "quiet", "none"));
  $("more-values").hidden = !data.moreValues;
  $("more-values").textContent = `… and ${data.moreValues} more values`;
}

function drawCharts(steps, parent, parts, onTick) {
  if (!steps.live.length) parent.append(make("p", "quiet", "no ticks: the program drew no text"));
  else {
    const marks = Object.keys(steps.ancestors).map((k) => Number(k) + 1);
    const curves = [
      { title: "ESS before resampling", values: steps.ess, floor: 0 },
      { title: "log evidence", values: steps.logEvidence },
      { title: "live particles", values: steps.live, floor: 0 },
    ];
    parts.charts = curves.map((curve) => new Chart(parent, { ...curve, marks, onTick }));
  }
}

function drawTools(lineages, list, $) {
  const counts = { sample: 0, dead: 0, dropped: 0 };
  for (let row = 0; row < lineages.count; row++) counts[lineages.fate(row)]++;
  if (!counts.sample) list.fates.add("dead");
  const names = { sample: "samples", dead: "died", dropped: "dropped" };
  for (const [fate, count] of Object.entries(counts)) {
    const button = make("button", "", `${names[fate]} ${count}`);
    Object.assign(button, { type: "button", disabled: !count });
    button.dataset.fate = fate;
    button.addEventListener("click", () => {
      if (!list.fates.delete(fate)) list.fates.add(fate);
      list.filter();
      syncTools(list, $);
    });
    $("fates").append(button);
  }
  let waiting = 0;
  $("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      list.query = $("search").value;
      list.filter();
    }, 80);
  });
  $("colour").addEventListener("change", () => {
    list.mode = $("colour").value;
    drawLegend($("legend"), list.mode);
    list.redraw();
  });
  $("lines").value = String(list.lines);
  $("lines").addEventListener("change", () => {
    list.lines = Number($("lines").value);
    list.unfolded.clear();
    list.redraw();
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest?.("input, select")) return;
    event.preventDefault();
    $("search").focus();
  });
  drawLegend($("legend"), list.mode);
  list.filter();
  syncTools(list, $);
}

/** Show on the buttons what the list is filtered by. */
function syncTools(list, $) {
  for (const button of $("fates").children) button.setAttribute("aria-pressed", list.fates.has(button.dataset.fate));
  $("values").querySelectorAll("button").forEach((button, rank) => button.setAttribute("aria-pressed", list.value === rank));
}

function drawSites(sites, parent) {
  for (const site of sites) {
    const table = make("dl", "plan-site");
    const line = (term, text) => table.append(make("dt", "", term), make("dd", "", visible(text)));
    line("target", site.target);
    if (site.reason) line("kernel", site.reason);
    site.measured.forEach((text, k) => line(k ? "" : "measured", text));
    parent.append(make("h3", "", visible(site.address)), table);
  }
  if (!sites.length) parent.append(make("p", "quiet", "the program drew no text"));
}

start(JSON.parse(document.getElementById("data").textContent));
