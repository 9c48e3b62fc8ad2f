// Okabe and Ito's colours, which stay apart under every common colour blindness, on light and dark
// paper; lines differ by dashes and markers too.
"use strict";
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "x", "triangle-down", "star", "cross"];
const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];
const ON_DARK = {
  "#000000": "#f2f2f2", "#666666": "#b4b4b4", "#0072B2": "#4aa8e8", "#D55E00": "#f08040",
  "#009E73": "#2fc79b",
};
// Networks and selections of weights, in the colours of the figures that Python draws.
const NAMED = {
  dense: ["#000000", "square"], ticket: ["#0072B2", "circle"], random: ["#E69F00", "triangle-up"],
  untrained: ["#D55E00", "cross"], rewired: ["#009E73", "triangle-down"],
  reinit: ["#CC79A7", "diamond"], supermask: ["#56B4E9", "x"],
  first: ["#0072B2", "circle"], union: ["#D55E00", "triangle-up"], intersection: ["#009E73", "square"],
};

const isDark = () => document.documentElement.dataset.theme === "dark";
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const channels = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
const mixed = (low, high, part) => low.map((own, i) => own + part * (high[i] - own));

// Relative luminance of the Web Content Accessibility Guidelines.
function luminance(parts) {
  const [r, g, b] = parts.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// A colour as it is drawn. On dark paper a dark dose of a method is lightened to a contrast of 3.
function shade(colour) {
  if (!isDark()) return colour;
  if (ON_DARK[colour]) return ON_DARK[colour];
  const least = 3 * (luminance(channels(variable("--panel"))) + 0.05) - 0.05;
  let parts = channels(colour);
  while (luminance(parts) < least) parts = mixed(parts, [255, 255, 255], 0.1).map(Math.ceil);
  return `#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
const faint = (colour, alpha) => `rgba(${channels(shade(colour)).join()},${alpha})`;

// Colours of correlations of -1, 0 and 1; those between are mixed.
const correlationColours = (study) => study.colours.correlation[isDark() ? "dark" : "light"];

// Black or white, whichever is easier to read on the colour of a correlation.
function inkOn([low, middle, high], value) {
  const parts = mixed(channels(middle), channels(value < 0 ? low : high), Math.abs(value));
  return luminance(parts) > 0.179 ? "#000000" : "#ffffff"; // both the same: 0.179
}

// A style per group: its colour tells the shift (or the intervention), its dashes the rest.
function groupStyles(study, selection) {
  const { streams, colours } = study;
  const of = selection.varied.includes("shift") || !selection.varied.includes("intervention")
    ? "shift" : "intervention";
  const colourNames = [], others = [], styles = new Map();
  const place = (list, value) => {
    if (!list.includes(value)) list.push(value);
    return list.indexOf(value);
  };
  for (const [name, stream] of selection.groups()) {
    const rest = selection.varied.filter((option) => option !== of).map((option) => streams[option][stream]).join();
    const value = streams[of][stream];
    styles.set(name, {
      colour: colours[of][value] || PALETTE[0],
      symbol: SYMBOLS[place(colourNames, value) % SYMBOLS.length],
      dash: DASHES[place(others, rest) % DASHES.length],
    });
  }
  return styles;
}
