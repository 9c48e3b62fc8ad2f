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
const NAMED = {
  dense: ["#000000", "square"], ticket: ["#0072B2", "circle"], random: ["#E69F00", "triangle-up"],
  untrained: ["#D55E00", "cross"], rewired: ["#009E73", "triangle-down"],
  reinit: ["#CC79A7", "diamond"],
  first: ["#0072B2", "circle"], union: ["#D55E00", "triangle-up"], intersection: ["#009E73", "square"],
};

const isDark = () => document.documentElement.dataset.theme === "dark";
const shade = (colour) => (isDark() && ON_DARK[colour]) || colour;
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const channels = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
const faint = (colour, alpha) => `rgba(${channels(shade(colour)).join()},${alpha})`;

// Colours of correlations of -1, 0 and 1; those between are mixed.
const correlationColours = (study) => study.colours.correlation[isDark() ? "dark" : "light"];

// Black or white, whichever is easier to read on the colour of a correlation.
function inkOn([low, middle, high], value) {
  const end = channels(value < 0 ? low : high);
  const [r, g, b] = channels(middle).map((part, i) => {
    const share = (part + Math.abs(value) * (end[i] - part)) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff"; // both the same: 0.179
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
