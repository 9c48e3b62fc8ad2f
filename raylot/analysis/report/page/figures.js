// Each figure: what it is called, what can be chosen in it, and its panels for what is chosen.
"use strict";

// Remarks on infinite values of some measures in rows of a table: no chart can draw them.
const infiniteValues = (study, table, rows, names) => [...new Set(names)].map((name) => {
  const count = rows.filter((i) => table.infinite[name]?.[i]).length;
  return count ? `${study.measures[name].label}: ${count} infinite values are left out here.` : "";
});

// Measures to choose from, in words.
const labelled = (study, names) =>
  names.map((value) => ({ value, label: (study.measures[value] || { label: value }).label }));

// Networks of a snapshot whose accuracies are compared.
const CONTROLS = ["dense", "ticket", "random", "shuffled", "reinit"];

// Streams whose lines are shown singly.
const MOST_STREAMS = 200;

const axisOf = (study, name) => (study.measures[name] || { axis: name }).axis;

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
    rows: panels.flatMap(({ title, lines }) => lines.flatMap((line) => line.means.map((p) => [
      title, line.name, String(p.x), round(p.mean), p.low === null ? "" : `${round(p.low)} to ${round(p.high)}`, String(p.seeds),
    ]))),
  };
}

// A panel per group and search with a line for each of some columns.
function columnPanels(study, selection, table, lines) {
  const panels = [];
  const parts = grouped(selection.rows(table), (i) => panelTitle(selection.group(table.stream[i]), table.label[i]));
  for (const [title, own] of parts) {
    const drawn = lines(own).map(({ valueOf, ...line }) => ({
      ...line,
      means: statistics.meansOverSeeds(own.map((i) => ({
        x: table.task[i], seed: study.streams.seed[table.stream[i]], value: valueOf(i),
      })), study.t),
    })).filter(({ means }) => means.length);
    if (drawn.length) panels.push({ title, lines: drawn });
  }
  return inOrder(panels, selection);
}

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
      measure: {
        label: "Measure",
        choices: labelled(study, [
          ...Object.keys(study.curves.values).filter((name) => study.curves.values[name].some((own) => own.some((v) => v !== null))),
          ...Object.keys(study.structure.values).filter((name) => !Object.hasOwn(study.curves.values, name)),
        ]),
      },
      seeds: { label: "Single seeds", choices: [{ value: "", label: "not shown" }, { value: "shown", label: "shown, faint" }] },
    }),
    draw(study, selection, { measure, seeds }) {
      const { streams, curves, structure } = study;
      const styles = groupStyles(study, selection);
      const points = new Map(selection.places.map((stream) => [stream, []]));
      const isCurve = Object.hasOwn(curves.values, measure);
      if (isCurve) {
        for (const [stream, own] of points) {
          curves.values[measure][stream].forEach((value, i) => own.push({ x: curves.tasks[i], value }));
        }
      } else {
        selection.rows(structure).forEach((i) => points.get(structure.stream[i])
          .push({ x: structure.task[i], value: structure.values[measure][i] }));
      }
      const parts = grouped([...points.keys()], (stream) => selection.group(stream));
      const lines = [...parts].map(([name, own]) => ({
        name, ...styles.get(name),
        means: statistics.meansOverSeeds(own.flatMap((stream) => points.get(stream)
          .map((point) => ({ ...point, seed: streams.seed[stream] }))), study.t),
      })).filter(({ means }) => means.length);
      const faintTraces = seeds ? [...points].slice(0, MOST_STREAMS).map(([stream, own]) => ({
        x: own.map((p) => p.x), y: own.map((p) => p.value), mode: "lines",
        line: { width: 1, color: faint(styles.get(selection.group(stream)).colour, 0.4) },
        hovertemplate: `stream seed=${streams.seed[stream]} ${selection.group(stream)}<br>run ${streams.run_id[stream]}<br>Task of the stream: %{x}<br>${axisOf(study, measure)}: %{y}<extra></extra>`,
      })) : [];
      const note = [
        isCurve && curves.width > 1 ? `Each value is the mean of ${curves.width} tasks.` : "",
        ...(isCurve ? [] : infiniteValues(study, structure, selection.rows(structure), [measure])),
        seeds && points.size > MOST_STREAMS ? `The first ${MOST_STREAMS} streams are shown singly.` : "",
      ].filter(Boolean).join(" ");
      return { ...linePanels(lines.length ? [{ title: "", lines, faintTraces }] : [], "Task of the stream", axisOf(study, measure)), note };
    },
  },
  {
    id: "count-and-plasticity",
    isMeasured: (study) => study.searches.stream.length > 0,
    title: "Ticket count against plasticity",
    text: "A point is the search of one snapshot; hover over it for its run. Large: means over seeds of each snapshot with 95% t intervals, joined in the order of tasks, from the first to the last that are named.",
    controls: (study) => ({
      x: { label: "Across", choices: labelled(study, study.searches.measures) },
      y: { label: "Up", choices: labelled(study, study.searches.tickets) },
    }),
    draw(study, selection, { x, y }) {
      const table = study.searches, { values } = table, styles = groupStyles(study, selection);
      const rows = selection.rows(table).filter((i) => values[x][i] !== null && values[y][i] !== null);
      const step = Math.ceil(rows.length / MOST_POINTS), told = [];
      const panels = [...grouped(rows, (i) => table.label[i])].sort().map(([title, own]) => {
        const traces = [], middle = own.reduce((sum, i) => sum + values[x][i], 0) / own.length;
        for (const [name, part] of grouped(own, (i) => selection.group(table.stream[i]))) {
          const { colour, symbol, dash } = styles.get(name);
          const shown = part.filter((_, i) => i % step === 0);
          traces.push({
            x: shown.map((i) => values[x][i]), y: shown.map((i) => values[y][i]), mode: "markers", name: `${name}, single runs`,
            marker: { color: faint(colour, 0.35), size: 6, symbol },
            text: shown.map((i) => `${runLabel(study, "tickets", table, i)}<br>run ${table.run_id[i]}`),
            hovertemplate: `%{text}<br>${axisOf(study, x)}: %{x}<br>${axisOf(study, y)}: %{y}<extra></extra>`,
          });
          const at = (column) => statistics.meansOverSeeds(part.map((i) => ({ x: table.task[i], seed: study.streams.seed[table.stream[i]], value: values[column][i] })), study.t);
          const across = at(x), up = at(y);
          const bars = (means) => ({ type: "data", array: means.map((p) => (p.high === null ? 0 : p.high - p.mean)), thickness: 1, width: 0, color: faint(colour, 0.7) });
          traces.push({
            x: across.map((p) => p.mean), y: up.map((p) => p.mean), mode: "lines+markers+text", name,
            text: up.map((p, i) => (i === 0 || i === up.length - 1 ? `task ${p.x}` : "")),
            // Inwards, so that no name is cut off. First points often coincide, so lines take turns above and below; the
            // last is named on the side where its line does not come from.
            textposition: across.map((p, i) => {
              const isAbove = i === 0 ? traces.length % 4 === 1 : up[i].mean > up[i - 1].mean;
              return `${isAbove ? "top" : "bottom"} ${p.mean > middle ? "left" : "right"}`;
            }),
            // with a rim, as bars may lie below it
            textfont: { color: variable("--ink"), shadow: Array(4).fill(`0 0 3px ${variable("--paper")}`).join(", ") }, cliponaxis: false,
            line: { color: shade(colour), width: 2, dash }, marker: { color: shade(colour), size: 10, symbol, line: { color: variable("--paper"), width: 1 } },
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
        key: [...styles].map(([name, style]) => ({ name, ...style })),
        heads: ["panel", "line", "task", axisOf(study, x), axisOf(study, y), "seeds"],
        rows: told,
        note: [step > 1 ? `Every ${step}th point is drawn; means are of all.` : "", ...infiniteValues(study, table, selection.rows(table), [x, y])].filter(Boolean).join(" "),
      };
    },
  },
  {
    id: "correlations",
    isMeasured: (study) => study.searches.stream.length > 0,
    title: "Correlation matrix",
    text: "Ticket measures with plasticity measures over the snapshots of one shift and sparsity. Where all of that is chosen, hovering gives the intervals and corrected p-values of analysis/correlation.py.",
    className: "matrix",
    controls: () => ({
      measures: { label: "Measures", choices: [{ value: "main", label: "the main ones" }, { value: "all", label: "all" }] },
      statistic: { label: "Correlation", choices: Object.entries(statistics.kinds).map(([value, { label }]) => ({ value, label })) },
      setting: { label: "Setting", choices: [] },
      shift: { label: "Shift", choices: [] },
      sparsity: { label: "Search", choices: [] },
    }),
    refit(study, selection) {
      const table = study.searches, rows = selection.rows(table);
      const unique = (values) => [...new Set(values)].map((value) => ({ value, label: value }));
      const shifts = [...new Set(rows.map((i) => study.streams.shift[table.stream[i]]))].sort((a, b) => (a === "stationary") - (b === "stationary"));
      return {
        setting: unique(rows.map((i) => table.setting[i])),
        shift: [...shifts, ...(shifts.length > 1 ? ["all"] : [])].map((value) => ({ value, label: value === "all" ? "all that are chosen" : value })),
        sparsity: unique(rows.map((i) => table.label[i])).sort((a, b) => a.value.localeCompare(b.value)),
      };
    },
    draw(study, selection, { measures, statistic, setting, shift, sparsity }) {
      const table = study.searches, { values } = table;
      const [tickets, rated] = [table.tickets, table.measures].map((names) => (measures === "all" ? names : names.filter((name) => study.main.includes(name))));
      const isMeant = (i) => table.label[i] === sparsity && table.setting[i] === setting
        && (shift === "all" || study.streams.shift[table.stream[i]] === shift);
      const rows = selection.rows(table).filter(isMeant);
      if (!rows.length) return { panels: [], key: [], heads: [], rows: [] };
      const isRanked = statistics.kinds[statistic].ranks;
      const valueOf = (name, i) => (isRanked && table.infinite[name]?.[i] ? table.infinite[name][i] * Infinity : values[name][i]);
      // If all that the storage has of this group is chosen, the analysis knows its correlations, with their intervals.
      const all = table.stream.map((_, i) => i).filter((i) => table.protocol[i] === selection.protocol && isMeant(i));
      const known = all.length === rows.length ? knownCorrelations(study, selection, rows, statistic) : new Map();
      const matrix = rated.map((measure) => tickets.map((ticket) => {
        const complete = rows.filter((i) => valueOf(ticket, i) !== null && valueOf(measure, i) !== null);
        const estimate = statistics.correlation(statistic, complete.map((i) => ({
          x: valueOf(ticket, i), y: valueOf(measure, i), task: table.task[i], stream: table.stream[i], position: table.position[i],
        })));
        const seeds = new Set(complete.map((i) => study.streams.seed[table.stream[i]])).size;
        return { ticket, measure, estimate, seeds, ...known.get(`${ticket} ${measure}`) };
      }));
      const label = (name) => study.measures[name].label;
      const certainty = (cell) => (cell.low === null || cell.low === undefined
        ? cell.note || "no interval, as not all of this group is chosen"
        : `interval [${round(cell.low)}, ${round(cell.high)}]${cell.p_corrected === null ? "" : `, p\u00a0${round(cell.p_corrected)}`}`);
      const colours = correlationColours(study);
      const strength = ({ estimate, low, high }) => estimate * (low > 0 || (high ?? 0) < 0 ? 1 : study.colours.pale);
      const kind = statistics.kinds[statistic].label;
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
        note: [study.colours.correlation_key, ...(isRanked ? [] : infiniteValues(study, table, rows, [...tickets, ...rated]))].filter(Boolean).join(" "),
        heads: ["tickets", "plasticity", "correlation", "interval, p", "seeds"],
        rows: matrix.flat().map((cell) => [label(cell.ticket), label(cell.measure), signed(cell.estimate) || "none", certainty(cell), String(cell.seeds)]),
      };
    },
  },
  {
    id: "ticket-streams",
    isMeasured: (study) => study.ticket_streams.stream.length > 0,
    title: "Ticket streams against dense networks",
    text: "Test accuracy on the new tasks after a snapshot: a ticket, the dense network, a random mask and the ticket from a fresh initialisation, each trained on.",
    controls: (study) => ({
      snapshot: {
        label: "From snapshot",
        choices: [
          ...[...new Set(study.ticket_streams.snapshot)].sort((a, b) => a - b).map((task) => ({ value: String(task), label: `task ${task}` })),
          { value: "", label: "all, averaged" },
        ],
      },
    }),
    draw(study, selection, { snapshot }) {
      const table = study.ticket_streams, { curves } = table;
      const rows = selection.rows(table).filter((i) => !snapshot || String(table.snapshot[i]) === snapshot);
      const searched = [...new Set(rows.map((i) => table.label[i]).filter(Boolean))].sort();
      const panels = inOrder([...grouped(rows, (i) => selection.group(table.stream[i]))].flatMap(([group, own]) =>
        (searched.length ? searched : [""]).map((search) => {
          const part = own.filter((i) => !table.label[i] || table.label[i] === search);
          const runsOf = grouped(part, (i) => table.subnetwork[i]);
          const lines = Object.keys(NAMED).filter((name) => runsOf.has(name)).map((name) => ({
            name, colour: NAMED[name][0], symbol: NAMED[name][1],
            means: statistics.meansOverSeeds(runsOf.get(name).flatMap((i) => curves.values.test_accuracy[i].map((value, at) => ({
              x: curves.tasks[at], seed: study.streams.seed[table.stream[i]], value,
            }))), study.t),
          }));
          return { title: panelTitle(group, search), lines };
        })), selection);
      const note = [
        curves.width > 1 ? `Each value is the mean of ${curves.width} tasks.` : "",
        snapshot ? "" : "Each line is the mean of the snapshots from which it has been trained so far.",
      ].filter(Boolean).join(" ");
      return { ...linePanels(panels, "Task after the snapshot", "Test accuracy"), note };
    },
  },
  {
    id: "plastic-parameters",
    isMeasured: (study) => study.plastic_parameters.stream.length > 0,
    title: "Plastic parameters against chance",
    text: "Jaccard overlap of the most plastic parameters (largest mean absolute gradient) with the first ticket, the union and the intersection of all tickets. Thin dashes: chance.",
    draw(study, selection) {
      const table = study.plastic_parameters;
      return linePanels(columnPanels(study, selection, table, (own) =>
        Object.keys(NAMED).filter((name) => own.some((i) => table.selection[i] === name)).flatMap((name) => {
          const [colour, symbol] = NAMED[name];
          const valueOf = (column) => (i) => (table.selection[i] === name ? table[column][i] : null);
          return [
            { name, colour, symbol, valueOf: valueOf("jaccard") },
            { name: `${name}, chance`, colour, symbol, isChance: true, valueOf: valueOf("chance") },
          ];
        })), "Task of the stream", "Jaccard index");
    },
  },
  {
    id: "controls",
    isMeasured: ({ searches: { values } }) => CONTROLS.some((name) => values[`${name}_accuracy`]?.some((value) => value !== null)),
    title: "Tickets and controls",
    text: "Test accuracy on the snapshot's task: the dense network, its tickets, and what they have to beat: random masks, shuffled masks, tickets from a fresh initialisation.",
    draw(study, selection) {
      const table = study.searches;
      return linePanels(columnPanels(study, selection, table, () =>
        CONTROLS.filter((name) => table.values[`${name}_accuracy`]).map((name) => ({
          name, colour: NAMED[name][0], symbol: NAMED[name][1], valueOf: (i) => table.values[`${name}_accuracy`][i],
        }))), "Task of the stream", "Test accuracy");
    },
  },
];

// What analysis/correlation.py found for the group of some rows: pair -> estimate, interval, p and note.
function knownCorrelations(study, selection, rows, statistic) {
  const found = new Map(), own = study.correlations, table = study.searches;
  const [row] = rows, stream = table.stream[row];
  const shifts = new Set(rows.map((i) => study.streams.shift[table.stream[i]]));
  const shift = shifts.size > 1 ? "all" : study.streams.shift[stream];
  own.statistic.forEach((name, i) => {
    const matches = name === statistic && own.protocol[i] === selection.protocol && own.shift[i] === shift
      && own.sparsity[i] === table.sparsity[row] && own.rounds[i] === table.rounds[row]
      && SETTING.every((option) => own[option][i] === study.streams[option][stream]);
    if (matches) {
      found.set(`${own.ticket_measure[i]} ${own.plasticity_measure[i]}`, {
        estimate: own.estimate[i], low: own.low[i], high: own.high[i], p_corrected: own.p_corrected[i], note: own.note[i],
      });
    }
  });
  return found;
}
