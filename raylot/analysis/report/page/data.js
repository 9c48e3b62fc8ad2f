// The storage's tables as the page holds them, and what of them is chosen.
"use strict";

// Inflates the page's data: gzipped JSON in base64.
async function inflate(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// Columns of repeated texts become plain lists.
function expanded(columns) {
  const found = {};
  for (const [name, column] of Object.entries(columns)) {
    found[name] = column?.codes
      ? column.codes.map((code) => (code < 0 ? null : column.texts[code])) : column;
  }
  return found;
}

const SETTING = ["dataset", "network", "intervention"];
const STREAM_OPTIONS = [...SETTING, "shift"];

// Data set, network and intervention, as one text.
const settingOf = (row) => SETTING.map((name) => row[name]).join(", ");

class Study {
  constructor(data) {
    Object.assign(this, data);
    for (const name of ["streams", "searches", "correlations", "runs"]) {
      this[name] = expanded(data[name]);
    }
    this.searches = { stream: [], tickets: [], measures: [], values: {}, infinite: {}, lines: {}, ...this.searches };
    this.protocolChoices = this.#protocolChoices();
    this.places = new Map(this.streams.run_id.map((run, i) => [run, i]));
  }

  // Protocols that can be chosen, most searches first: name -> protocols of the streams under it.
  #protocolChoices() {
    const found = new Map(), counts = new Map();
    this.searches.stream.forEach((stream, i) => {
      const name = this.searches.protocol[i];
      if (!found.has(name)) found.set(name, new Set());
      found.get(name).add(this.streams.protocol[stream]);
      counts.set(name, (counts.get(name) || 0) + 1);
    });
    const covered = new Set([...found.values()].flatMap((own) => [...own]));
    for (const own of new Set(this.streams.protocol)) {
      if (!covered.has(own)) found.set(own, new Set([own]));
    }
    return new Map([...found].sort((a, b) => (counts.get(b[0]) || 0) - (counts.get(a[0]) || 0)));
  }

  // What tells the protocols apart, as text. Of those without an ended run only the name is known.
  protocolLabel(name) {
    const known = [...this.protocolChoices.keys()].map((other) => this.protocols[other]).filter(Boolean);
    const own = this.protocols[name];
    if (!own) return name;
    const options = [...new Set(known.flatMap((other) => Object.keys(other)))];
    const differing = options.filter((option) => known.some((other) => other[option] !== own[option]));
    const given = differing.filter((option) => option in own).map((option) => `${option}=${own[option]}`);
    const lacking = differing.filter((option) => !(option in own)).map((option) => `${option} not given`);
    return differing.length ? `${name}: ${[...given, ...lacking].join(", ")}` : name;
  }
}

// The rows and lines that the filters leave.
class Selection {
  constructor(study) {
    this.study = study;
    this.protocol = study.protocolChoices.keys().next().value;
    this.options = Object.fromEntries(
      Object.entries(study.filters).map(([name, values]) => [name, new Set(values)]));
    this.refresh();
  }

  // Follows what was chosen.
  refresh() {
    const { streams } = this.study;
    const protocols = this.study.protocolChoices.get(this.protocol);
    this.streams = streams.run_id.map((_, i) => protocols.has(streams.protocol[i])
      && STREAM_OPTIONS.every((name) => this.options[name].has(streams[name][i])));
    this.places = this.streams.flatMap((kept, i) => (kept ? [i] : []));
    this.varied = STREAM_OPTIONS.filter((name) =>
      new Set(this.places.map((i) => streams[name][i])).size > 1);
  }

  // The one seed that is chosen; empty: all.
  get seed() {
    const seeds = this.options.seed;
    return seeds.size < this.study.filters.seed.length ? [...seeds][0] : "";
  }

  get isWhole() {
    return Object.entries(this.study.filters).every(([name, values]) => this.options[name].size === values.length);
  }

  fits({ stream, protocol, sparsity }) {
    return this.streams[stream] && (sparsity === null || sparsity === undefined || this.options.sparsity.has(sparsity))
      && (!protocol || protocol === this.protocol);
  }

  // Indices of the searches that are chosen.
  searches() {
    const { stream, protocol, sparsity } = this.study.searches;
    return [...stream.keys()].filter((i) => this.fits({ stream: stream[i], protocol: protocol[i], sparsity: sparsity[i] })
      && this.options.seed.has(this.study.streams.seed[stream[i]]));
  }

  // Correlations {ticket_measure, plasticity_measure, statistic, shift, estimate, ...} of what is chosen; of all seeds.
  correlations() {
    const { correlations: columns } = this.study, names = Object.keys(columns);
    return columns.shift.map((_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])))
      .filter((row) => row.protocol === this.protocol && this.options.sparsity.has(row.sparsity)
        && STREAM_OPTIONS.every((name) => this.options[name].has(row[name]) || row[name] === "all"));
  }

  // Lines of means over seeds, or of the seed that is chosen, with the points of each.
  lines(all = []) {
    return all.filter((line) => line.seed === this.seed && this.fits(line)).map((line) => ({
      ...line,
      points: line.x.map((x, i) => ({
        x, mean: line.mean[i], low: line.low?.[i] ?? null, high: line.high?.[i] ?? null, seeds: line.seeds?.[i] ?? 1,
      })),
    }));
  }

  // What a stream is called among those that are chosen: what varies of it.
  group(stream) {
    const { streams } = this.study;
    const names = this.varied.length ? this.varied : ["shift"];
    return names.map((name) => (name === "intervention" && streams[name][stream] === "none"
      ? "no intervention" : streams[name][stream])).join(", ");
  }

  // Groups in order -> a stream of each.
  groups() {
    const found = new Map();
    for (const stream of this.places) {
      const name = this.group(stream);
      if (!found.has(name)) found.set(name, stream);
    }
    return found;
  }
}
