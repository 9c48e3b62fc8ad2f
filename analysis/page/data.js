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
    found[name] = column && column.codes
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
    this.searches.stream ||= [];
    this.searches.tickets ||= [];
    this.searches.measures ||= [];
    this.protocolChoices = this.#protocolChoices();
    this.positions = new Map([...new Set(this.searches.task || [])].sort((a, b) => a - b).map((task, i) => [task, i]));
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

  // What tells the protocols apart, as text.
  protocolLabel(name) {
    const others = [...this.protocolChoices.keys()].filter((other) => other !== name);
    const own = this.protocols[name] || {};
    const differing = Object.keys(own).filter((option) =>
      others.some((other) => (this.protocols[other] || {})[option] !== own[option]));
    const told = differing.map((option) => `${option}=${own[option]}`).join(", ");
    return told ? `${name}: ${told}` : name || "not known yet";
  }
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
