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
const STREAM_OPTIONS = [...SETTING, "shift", "seed"];

class Study {
  constructor(data) {
    Object.assign(this, data);
    for (const name of ["streams", "structure", "searches", "ticket_streams", "plastic_parameters", "correlations", "runs"]) {
      this[name] = expanded(data[name]);
    }
    this.searches = { stream: [], task: [], tickets: [], measures: [], values: {}, infinite: {}, ...this.searches };
    this.protocolChoices = this.#protocolChoices();
    this.places = new Map(this.streams.run_id.map((run, i) => [run, i]));
    for (const table of [this.searches, this.plastic_parameters, this.ticket_streams]) table.label = searchLabels(table);
    this.searches.setting = this.searches.stream.map((stream) => this.settingOf(stream));
    this.searches.position = this.#positions();
  }

  settingOf(stream) {
    return SETTING.map((name) => this.streams[name][stream]).join(", ");
  }

  // Of each search's task among the tasks at which its protocol and setting have snapshots.
  #positions() {
    const { task, protocol = [], setting } = this.searches, grids = new Map();
    const key = (i) => `${protocol[i]} ${setting[i]}`;
    task.forEach((own, i) => {
      if (!grids.has(key(i))) grids.set(key(i), new Set());
      grids.get(key(i)).add(own);
    });
    for (const [name, tasks] of grids) grids.set(name, new Map([...tasks].sort((a, b) => a - b).map((own, i) => [own, i])));
    return task.map((own, i) => grids.get(key(i)).get(own));
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
    const own = this.protocols[name] || {};
    const options = [...new Set(known.flatMap((other) => Object.keys(other)))];
    const differing = options.filter((option) => known.some((other) => other[option] !== own[option]));
    const told = differing.map((option) => (option in own ? `${option}=${own[option]}` : `${option} not given`)).join(", ");
    return told ? `${name}: ${told}` : name;
  }
}

// ``sparsity 0.8`` of each row, with the rounds where a sparsity was searched with several.
function searchLabels({ sparsity = [], rounds = [] }) {
  const known = new Map();
  sparsity.forEach((own, i) => {
    if (!known.has(own)) known.set(own, new Set());
    known.get(own).add(rounds[i]);
  });
  return sparsity.map((own, i) => (own === null ? ""
    : `sparsity ${own}${known.get(own).size > 1 ? ` (${rounds[i]} rounds)` : ""}`));
}

// The rows that the filters leave.
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
    this.varied = [...SETTING, "shift"].filter((name) =>
      new Set(this.places.map((i) => streams[name][i])).size > 1);
  }

  get isWhole() {
    return Object.entries(this.study.filters).every(([name, values]) => this.options[name].size === values.length);
  }

  // Indices of rows of a table whose streams, sparsities and protocol are chosen.
  rows(table) {
    const found = [];
    (table.stream || []).forEach((stream, i) => {
      if (!this.streams[stream]) return;
      const sparsity = table.sparsity ? table.sparsity[i] : null;
      if (sparsity !== null && !this.options.sparsity.has(sparsity)) return;
      if (table.protocol && table.protocol[i] && table.protocol[i] !== this.protocol) return;
      found.push(i);
    });
    return found;
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
