// Draws lines with bands, points and matrices into panels, with a key above and the figures below.
"use strict";
const MOST_PANELS = 24;
const MOST_POINTS = 6000;
const isNarrow = () => matchMedia("(max-width: 40rem)").matches;

function element(tag, properties = {}, ...children) {
  const { data = {}, ...own } = properties;
  const made = Object.assign(document.createElement(tag), own);
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}

const round = (value) => (value === null || value === undefined ? "" : Number(value.toPrecision(3)).toString());

function interval({ mean, low, high }) {
  return low === null ? round(mean) : `${round(mean)} [${round(low)}, ${round(high)}]`;
}

const seedsOf = ({ seeds }) => `${seeds} ${seeds === 1 ? "seed" : "seeds"}`;

// Traces of a line of points {x, mean, low, high, seeds} and the band of their intervals.
function lineTraces({ name, colour, dash = "solid", symbol = "circle", points, isChance }, xTitle, yTitle) {
  const traces = [];
  const banded = points.filter((point) => point.low !== null);
  if (banded.length > 1 && !isChance) {
    traces.push({
      x: [...banded.map((p) => p.x), ...banded.map((p) => p.x).reverse()],
      y: [...banded.map((p) => p.high), ...banded.map((p) => p.low).reverse()],
      fill: "toself", fillcolor: faint(colour, 0.18), line: { width: 0 }, mode: "lines",
      hoverinfo: "skip", name: `${name}, band`,
    });
  }
  traces.push({
    x: points.map((p) => p.x), y: points.map((p) => p.mean), name,
    mode: points.length > 40 || isChance ? "lines" : "lines+markers",
    line: { color: shade(colour), width: isChance ? 1.2 : 2, dash: isChance ? "dash" : dash },
    marker: { color: shade(colour), size: 6, symbol },
    error_y: banded.length === 1 && !isChance ? {
      type: "data", array: points.map((p) => (p.high === null ? 0 : p.high - p.mean)), thickness: 1,
    } : undefined,
    text: points.map((p) => `${name}, ${seedsOf(p)}<br>${xTitle}: ${p.x}<br>${yTitle}: ${interval(p)}`),
    hovertemplate: "%{text}<extra></extra>",
  });
  return traces;
}

function layoutOf({ xTitle, yTitle, yRange }) {
  const axis = {
    gridcolor: variable("--line"), zerolinecolor: variable("--line"), automargin: true,
    tickfont: { size: 11 }, title: { font: { size: 12 } },
  };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: variable("--ink"), family: "inherit" },
    margin: { l: 48, r: 12, t: isTouched ? 8 : 34, b: 40 }, // the mode bar lies above what is drawn
    showlegend: false, hovermode: "closest",
    dragmode: isTouched ? false : "zoom",
    hoverlabel: { bgcolor: variable("--panel"), font: { color: variable("--ink") }, align: "left" },
    xaxis: { ...axis, title: { ...axis.title, text: xTitle } },
    yaxis: { ...axis, title: { ...axis.title, text: isNarrow() ? yTitle.replace(" (", "<br>(") : yTitle }, range: yRange },
  };
}

const isTouched = matchMedia("(pointer: coarse)").matches;
const CONFIG = {
  responsive: true, displaylogo: false, displayModeBar: isTouched ? false : "hover",
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
};

// Plotly follows the window's width only; a panel's changes with the number of panels too.
const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.layout && target.offsetWidth && target.offsetWidth !== target._fullLayout.width) Plotly.Plots.resize(target);
  }
});

// Shows panels {title, traces, layout} in a figure's place, as many as there is room for.
function showPanels(place, panels, label) {
  const shown = panels.slice(0, MOST_PANELS);
  place.classList.toggle("single", shown.length === 1);
  while (place.children.length > shown.length) {
    widths.unobserve(place.lastChild.lastChild);
    Plotly.purge(place.lastChild.lastChild);
    place.lastChild.remove();
  }
  while (place.children.length < shown.length) { // all of them before any is drawn: they share the width
    place.append(element("div", { className: "facet" }, element("h3"), element("div", { className: "plot" })));
    widths.observe(place.lastChild.lastChild);
  }
  shown.forEach((panel, i) => {
    const [title, plot] = place.children[i].children;
    title.textContent = panel.title;
    title.hidden = !panel.title;
    plot.style.height = panel.height || "";
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", `${label}${panel.title ? `, ${panel.title}` : ""}. Its figures stand in the table below.`);
    Plotly.react(plot, panel.traces, panel.layout, CONFIG);
  });
  return panels.length - shown.length;
}

// The key: a sample of each line, and its name.
function showKey(place, entries) {
  place.replaceChildren(...entries.map(({ name, colour, dash, isChance }) => {
    const lengths = { dash: "6 3", dot: "2 3", dashdot: "6 3 2 3", longdash: "9 3", longdashdot: "9 3 2 3" };
    const item = element("li", { innerHTML: `<svg width="28" height="10" aria-hidden="true"><line x2="28" y1="5" y2="5"
      stroke="${shade(colour)}" stroke-width="${isChance ? 1.5 : 3}" stroke-dasharray="${lengths[isChance ? "dash" : dash] || "none"}"/></svg>` });
    item.append(name);
    return item;
  }));
}

function fillTable(table, heads, rows) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col", textContent: text })));
  const body = rows.map((row) => element("tr", {}, ...row.map((text) => element("td", { textContent: text }))));
  table.replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
}

// A common range for panels that are to be compared.
function commonRange(lines) {
  const values = lines.flatMap(({ points }) => points.flatMap((p) => [p.low ?? p.mean, p.high ?? p.mean, p.mean]));
  if (!values.length) return undefined;
  const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  const room = 0.05 * (high - low || Math.abs(high) || 1);
  return [low - room, high + room];
}
