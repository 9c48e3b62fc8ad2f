// Each figure: what it is called, what can be chosen in it, and its panels for what is chosen.
"use strict";

// A remark on infinite values, which no chart can draw.
const infiniteValues = (study, name, count) =>
  (count ? `${study.measures[name].label}: ${count} infinite values are left out here.` : "");

// Measures to choose from, in words; the declared one, which the answer is about, is chosen at first.
const labelled = (study, names) => [...names]
  .sort((a, b) => study.declared.includes(b) - study.declared.includes(a))
  .map((value) => ({ value, label: study.measures[value].label }));

// Streams whose lines are shown singly.
const MOST_STREAMS = 200;

const axisOf = (study, name) => study.measures[name].axis;

// Rows of a table by a key, in the order in which keys come.
function grouped(rows, keyOf) {
  const found = new Map();
  for (const row of rows) {
    const key = keyOf(row);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(row);
  }
  return found;
}

const panelTitle = (group, search) => (search ? `${group}; ${search}` : group);

// Panels in the order of their groups, then of their searches.
function inOrder(panels, selection) {
  const order = [...selection.groups().keys()];
  const place = ({ title }) => order.indexOf(title.split(";")[0]);
  return panels.sort((a, b) => place(a) - place(b) || a.title.localeCompare(b.title));
}

// Panels of lines, all on one scale, and the key to them.
function linePanels(panels, xTitle, yTitle) {
  const range = commonRange(panels.flatMap(({ lines }) => lines));
  return {
    panels: panels.map(({ title, lines, faintTraces = [] }) => ({
      title,
      traces: [...faintTraces, ...lines.flatMap((line) => lineTraces(line, xTitle, yTitle))],
      layout: layoutOf({ xTitle, yTitle, yRange: range }),
    })),
    key: [...new Map(panels.flatMap(({ lines }) => lines).map((line) => [line.name, line])).values()],
    heads: ["panel", "line", xTitle.toLowerCase(), "mean", "95% interval", "seeds"],
    rows: panels.flatMap(({ title, lines }) => lines.flatMap((line) => line.points.map((p) => [
      title, line.name, String(p.x), round(p.mean), p.low === null ? "" : `${round(p.low)} to ${round(p.high)}`, String(p.seeds),
    ]))),
  };
}

// A panel per group and search of some lines.
function searchPanels(selection, lines) {
  const parts = grouped(lines, ({ stream, label }) => panelTitle(selection.group(stream), label));
  return inOrder([...parts].map(([title, own]) => ({ title, lines: own })), selection);
}

// How the line of a network, or of a selection of weights, is called and drawn.
const named = (name) => ({ name, colour: NAMED[name][0], symbol: NAMED[name][1] });

const runLabel = (study, kind, table, i) => {
  const stream = table.stream[i], { streams } = study;
  const method = streams.intervention[stream] === "none" ? "" : ` ${streams.intervention[stream]}`;
  return `${kind} seed=${streams.seed[stream]} ${streams.shift[stream]}${method} task=${table.task[i]}`
    + (table.sparsity ? ` sparsity=${table.sparsity[i]}` : "");
};

const FIGURES = [
  {
    id: "along-stream",
    isMeasured: () => true,
    title: "Along the stream",
    text: "Plasticity of the dense networks, task by task or at their snapshots. Bands: 95% t intervals over seeds.",
    controls: (study) => ({
      measure: { label: "Measure", choices: labelled(study, Object.keys(study.along.lines)) },
      seeds: { label: "Single seeds", choices: [{ value: "", label: "not shown" }, { value: "shown", label: "shown, faint" }] },
    }),
    draw(study, selection, { measure, seeds }) {
      const { streams, along } = study, styles = groupStyles(study, selection), all = along.lines[measure];
      const lines = selection.lines(all).map((line) => {
        const name = selection.group(line.stream);
        return { ...line, name, ...styles.get(name) };
      });
      const single = all.filter((line) => line.seed && selection.fits(line));
      const faintTraces = seeds ? single.slice(0, MOST_STREAMS).map(({ stream, seed, x, mean }) => {
        const name = selection.group(stream);
        return {
          x, y: mean, mode: "lines", line: { width: 1, color: faint(styles.get(name).colour, 0.4) },
          hovertemplate: `stream seed=${seed} ${name}<br>Task of the stream: %{x}<br>${axisOf(study, measure)}: %{y}<extra></extra>`,
        };
      }) : [];
      const note = [
        lines.length && along.curves.includes(measure) && along.width > 1 ? `Each value is the mean of ${along.width} tasks.` : "",
        infiniteValues(study, measure, lines.reduce((sum, { infinite }) => sum + infinite, 0)),
        seeds && single.length > MOST_STREAMS ? `The first ${MOST_STREAMS} streams are shown singly.` : "",
      ].filter(Boolean).join(" ");
      return { ...linePanels(lines.length ? [{ title: "", lines, faintTraces }] : [], "Task of the stream", axisOf(study, measure)), note };
    },
  },
  {
    id: "tickets-and-plasticity",
    isMeasured: (study) => study.searches.stream.length > 0,
    title: "Tickets against plasticity",
    text: "A point is the search of one snapshot; hover over it for its run. Large: means over seeds of each snapshot with 95% t intervals, joined in the order of tasks; the first is hollow.",
    controls: (study) => ({
      x: { label: "Across", choices: labelled(study, study.searches.measures) },
      y: { label: "Up", choices: labelled(study, study.searches.tickets) },
    }),
    draw(study, selection, { x, y }) {
      const table = study.searches, { values } = table, styles = groupStyles(study, selection);
      const isInfinite = (name, i) => Boolean(table.infinite[name]?.[i]), hasValue = (name, i) => values[name][i] !== null;
      const measured = selection.searches().filter((i) => [x, y].every((name) => hasValue(name, i) || isInfinite(name, i)));
      const rows = measured.filter((i) => hasValue(x, i) && hasValue(y, i));
      const step = Math.ceil(rows.length / MOST_POINTS), told = [], drawn = new Set();
      const panels = [...grouped(rows, (i) => table.label[i])].sort().map(([title, own]) => {
        const traces = [];
        for (const [name, part] of grouped(own, (i) => selection.group(table.stream[i]))) {
          const { colour, symbol, dash } = styles.get(name);
          drawn.add(name);
          const shown = part.filter((_, i) => i % step === 0);
          traces.push({
            x: shown.map((i) => values[x][i]), y: shown.map((i) => values[y][i]), mode: "markers", name: `${name}, single runs`,
            marker: { color: faint(colour, 0.35), size: 6, symbol },
            text: shown.map((i) => `${runLabel(study, "tickets", table, i)}<br>run ${table.run_id[i]}`),
            hovertemplate: `%{text}<br>${axisOf(study, x)}: %{x}<br>${axisOf(study, y)}: %{y}<extra></extra>`,
          });
          const at = (column) => selection.lines(table.lines[column])
            .find(({ stream, label }) => label === title && selection.group(stream) === name).points;
          const known = new Map(at(x).map((p) => [p.x, p])), up = at(y).filter((p) => known.has(p.x));
          const across = up.map((p) => known.get(p.x));
          const bars = (means) => ({ type: "data", array: means.map((p) => (p.high === null ? 0 : p.high - p.mean)), thickness: 1, width: 0, color: faint(colour, 0.7) });
          traces.push({
            x: across.map((p) => p.mean), y: up.map((p) => p.mean), mode: "lines+markers", name, cliponaxis: false,
            line: { color: shade(colour), width: 2, dash },
            marker: {
              color: shade(colour), size: 10, symbol: up.map((_, i) => (i === 0 ? `${symbol}-open` : symbol)),
              line: { color: variable("--paper"), width: up.map((_, i) => (i === 0 ? 2 : 1)) },
            },
            error_x: bars(across), error_y: bars(up),
            hovertext: up.map((p, i) => `${name}, task ${p.x}, ${seedsOf(p)}<br>${axisOf(study, x)}: ${interval(across[i])}<br>${axisOf(study, y)}: ${interval(p)}`),
            hovertemplate: "%{hovertext}<extra></extra>",
          });
          told.push(...up.map((p, i) => [title, name, String(p.x), interval(across[i]), interval(p), String(p.seeds)]));
        }
        return { title, traces, layout: layoutOf({ xTitle: axisOf(study, x), yTitle: axisOf(study, y) }) };
      });
      return {
        panels,
        key: [...styles].filter(([name]) => drawn.has(name)).map(([name, style]) => ({ name, ...style })),
        heads: ["panel", "line", "task", axisOf(study, x), axisOf(study, y), "seeds"],
        rows: told,
        note: [step > 1 ? `Every ${step}th point is drawn; means are of all.` : "", ...new Set([x, y].map((name) => infiniteValues(study, name, measured.filter((i) => isInfinite(name, i)).length)))].filter(Boolean).join(" "),
      };
    },
  },
  {
    id: "correlations",
    isMeasured: (study) => study.searches.stream.length > 0,
    title: "Exploratory correlations",
    text: "Nothing is concluded from these: ticket measures with plasticity measures over the snapshots of one shift and sparsity, of all seeds, as `raylot analyse correlation` finds them. Hovering gives the intervals, and p corrected for all of them (Benjamini-Hochberg) but those of the declared pair, which are a family of their own.",
    className: "matrix",
    controls(study, selection) {
      const cells = selection.correlations();
      const choices = (of) => [...new Set(cells.map(of))].map((value) => ({ value, label: value === "all" ? "all shifts" : value }));
      const isLast = ({ value }) => (value === "all" ? 2 : value === "stationary" ? 1 : 0);
      return {
        measures: { label: "Measures", choices: [{ value: "main", label: "the main ones" }, { value: "all", label: "all" }] },
        statistic: { label: "Correlation", choices: Object.entries(study.statistics).map(([value, label]) => ({ value, label })) },
        setting: { label: "Setting", choices: choices(settingOf) },
        shift: { label: "Shift", choices: choices(({ shift }) => shift).sort((a, b) => isLast(a) - isLast(b)) },
        sparsity: { label: "Search", choices: choices(({ label }) => label).sort((a, b) => a.value.localeCompare(b.value)) },
      };
    },
    draw(study, selection, { measures, statistic, setting, shift, sparsity }) {
      const table = study.searches;
      const [tickets, rated] = [table.tickets, table.measures].map((names) => (measures === "all" ? names : names.filter((name) => study.main.includes(name))));
      const cells = new Map(selection.correlations().filter((cell) => cell.statistic === statistic && cell.label === sparsity
        && cell.shift === shift && settingOf(cell) === setting).map((cell) => [`${cell.ticket_measure} ${cell.plasticity_measure}`, cell]));
      if (!cells.size) return { panels: [], key: [], heads: [], rows: [] };
      const matrix = rated.map((measure) => tickets.map((ticket) => cells.get(`${ticket} ${measure}`)));
      const label = (name) => study.measures[name].label;
      const certainty = ({ low, high, p_corrected: p, note }) => [
        low === null ? "" : `interval [${round(low)}, ${round(high)}]${p === null ? "" : `, p\u00a0${round(p)}`}`, note,
      ].filter(Boolean).join("; ");
      const colours = correlationColours(study);
      const strength = ({ estimate, low, high }) => estimate * (low > 0 || (high ?? 0) < 0 ? 1 : study.colours.pale);
      const kind = study.statistics[statistic];
      const inked = (cell) => (cell.estimate === null ? "" : `<span style="color:${inkOn(colours, strength(cell))}">${signed(cell.estimate)}</span>`);
      const signed = (value) => (value === null ? "" : (value > -0.005 ? "+" : "-") + Math.abs(value).toFixed(2).replace(/^0|(?<=^1.0)0$/, "")); // as words.py
      const layout = layoutOf({ xTitle: "", yTitle: "" });
      Object.assign(layout.xaxis, { tickangle: isNarrow() ? -90 : -30, tickfont: { size: isNarrow() ? 10 : 11 } });
      Object.assign(layout.yaxis, { autorange: "reversed", tickfont: { size: isNarrow() ? 10 : 11 } });
      return {
        panels: [{
          title: "",
          layout,
          height: `${11 + 1.6 * rated.length}rem`,
          traces: [{
            type: "heatmap", zmin: -1, zmax: 1, xgap: 1, ygap: 1,
            x: tickets.map(label), y: rated.map(label), z: matrix.map((row) => row.map((cell) => (cell.estimate === null ? null : strength(cell)))),
            colorscale: colours.map((colour, i) => [i / 2, colour]), showscale: false,
            text: matrix.map((row) => row.map(inked)), texttemplate: isNarrow() && tickets.length > 4 ? "" : "%{text}", textfont: { size: 11 },
            customdata: matrix.map((row) => row.map((cell) => [`${kind}: ${signed(cell.estimate)}`, certainty(cell), seedsOf(cell), cell.estimate])),
            hovertemplate: "%{x} and %{y}<br>%{customdata[0]}<br>%{customdata[1]}<br>%{customdata[2]}<extra></extra>", hoverongaps: false,
          }],
        }],
        key: [],
        note: study.colours.correlation_key,
        heads: ["tickets", "plasticity", "correlation", "interval, p", "seeds"],
        rows: matrix.flat().map((cell) => [label(cell.ticket_measure), label(cell.plasticity_measure), signed(cell.estimate) || "none", certainty(cell), String(cell.seeds)]),
      };
    },
  },
  {
    id: "ticket-streams",
    isMeasured: (study) => study.ticket_streams.lines.length > 0,
    title: "Ticket streams against dense networks",
    text: "Test accuracy on the new tasks after a snapshot: a ticket, the dense network, a random mask and the ticket from a fresh initialisation, each trained on.",
    controls: (study) => ({
      snapshot: {
        label: "From snapshot",
        choices: [
          ...study.ticket_streams.snapshots.map((task) => ({ value: String(task), label: `task ${task}` })),
          { value: "", label: "all, averaged" },
        ],
      },
    }),
    draw(study, selection, { snapshot }) {
      const { lines: all, width } = study.ticket_streams;
      const lines = Object.keys(NAMED).flatMap((name) => selection.lines(all)
        .filter((line) => line.subnetwork === name && String(line.snapshot ?? "") === snapshot)
        .map((line) => ({ ...line, ...named(name) })));
      const searched = grouped(lines.filter(({ label }) => label), ({ stream }) => selection.group(stream));
      const labelsOf = ({ stream }) => new Set((searched.get(selection.group(stream)) || []).map(({ label }) => label));
      // A dense network is drawn beside each search of its own group, and never alone.
      const shown = lines.flatMap((line) => (line.label ? [line] : [...labelsOf(line)].map((label) => ({ ...line, label }))));
      const note = shown.length ? [
        width > 1 ? `Each value is the mean of ${width} tasks.` : "",
        snapshot ? "" : "Each line is the mean of the snapshots from which it has been trained so far.",
      ].filter(Boolean).join(" ") : "";
      return { ...linePanels(searchPanels(selection, shown), "Task after the snapshot", "Test accuracy"), note };
    },
  },
  {
    id: "plastic-parameters",
    isMeasured: (study) => study.plastic_parameters.jaccard.length > 0,
    title: "Plastic parameters against chance",
    text: "Jaccard overlap of the most plastic parameters (largest mean absolute gradient) with the first ticket, the union and the intersection of all tickets. Thin dashes: chance.",
    draw(study, selection) {
      const lines = ["jaccard", "chance"].flatMap((column) => selection.lines(study.plastic_parameters[column])
        .map((line) => ({ ...line, ...named(line.selection), ...(column === "chance" ? { name: `${line.selection}, chance`, isChance: true } : {}) })));
      return linePanels(searchPanels(selection, lines), "Task of the stream", "Jaccard index");
    },
  },
  {
    id: "controls",
    isMeasured: ({ searches: { lines } }) => Object.keys(NAMED).some((name) => lines[`${name}_accuracy`]?.length),
    title: "Tickets and controls",
    text: "Test accuracy on the snapshot's task: the dense network, its tickets, and what they have to beat: random masks, and beside them masks of untrained magnitudes, rewired masks, tickets from a fresh initialisation, tickets without any training (supermask).",
    draw(study, selection) {
      const lines = Object.keys(NAMED).flatMap((name) => selection.lines(study.searches.lines[`${name}_accuracy`])
        .map((line) => ({ ...line, ...named(name) })));
      return linePanels(searchPanels(selection, lines), "Task of the stream", "Test accuracy");
    },
  },
];
