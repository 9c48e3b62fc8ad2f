// The table of runs: sorted, searched, a page at a time, with what they cost.
"use strict";
const PAGE_LENGTH = 50;
const RUN_HEADS = {
  kind: "kind", measured: "measures", dataset: "data set", network: "network", shift: "shift", intervention: "intervention", seed: "seed",
  task: "task", sparsity: "sparsity", subnetwork: "subnetwork", status: "status", training_steps: "training steps",
  seconds: "seconds", engine_used: "engine", device_used: "device", started: "started (UTC)", run_id: "run_id", error: "remark",
};

class RunTable {
  constructor(study) {
    this.study = study;
    this.runs = study.runs;
    this.table = document.getElementById("run-table");
    this.sorted = { name: "started", falling: false };
    this.page = 0;
    this.names = Object.keys(RUN_HEADS).filter((name) => this.runs[name].some((value) => value !== null && value !== ""));
    const row = element("tr", {}, ...this.names.map((name) => {
      const button = element("button", { type: "button", textContent: RUN_HEADS[name] });
      button.addEventListener("click", () => {
        this.sorted = { name, falling: this.sorted.name === name && !this.sorted.falling };
        this.page = 0;
        this.show();
      });
      return element("th", { scope: "col", data: { name } }, button);
    }));
    this.table.append(element("thead", {}, row), element("tbody"));
    document.getElementById("search").addEventListener("input", () => { this.page = 0; this.show(); });
    document.getElementById("previous").addEventListener("click", () => { this.page--; this.show(); });
    document.getElementById("next").addEventListener("click", () => { this.page++; this.show(); });
  }

  // Shows the runs that the filters leave; what they do not offer (as no sparsity) rules nothing out.
  draw(selection) {
    const { runs } = this, { filters, places, protocolChoices } = this.study;
    const fits = (name, i) => selection.options[name].has(runs[name][i]) || !filters[name].includes(runs[name][i]);
    const isOfProtocol = (i) => !protocolChoices.has(runs.protocol[i]) || runs.protocol[i] === selection.protocol;
    const isOfStream = (i) => selection.streams[places.get(runs.stream_run_id[i])] ?? true;
    this.chosen = runs.run_id.map((_, i) => i).filter((i) => isOfProtocol(i) && isOfStream(i)
      && Object.keys(selection.options).every((name) => fits(name, i)));
    this.page = 0;
    this.show();
  }

  show() {
    const { runs } = this;
    const wanted = document.getElementById("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (i) => this.names.map((name) => `${name}=${runs[name][i] ?? ""} ${shownValue(name, runs[name][i])}`).join(" ").toLowerCase();
    const fits = (own) => wanted.every((word) => own.includes(word));
    const found = wanted.length ? this.chosen.filter((i) => fits(text(i))) : [...this.chosen];
    const { name, falling } = this.sorted, column = runs[name];
    const number = (value) => typeof value === "number" || /^\d+$/.test(value);
    found.sort((a, b) => {
      const [x, y] = falling ? [column[b], column[a]] : [column[a], column[b]];
      if (x === y) return a - b;
      if (x === null || y === null) return x === null ? 1 : -1;
      return number(x) && number(y) ? x - y : String(x).localeCompare(String(y));
    });
    const pages = Math.max(1, Math.ceil(found.length / PAGE_LENGTH));
    this.page = Math.min(Math.max(0, this.page), pages - 1);
    const rows = found.slice(this.page * PAGE_LENGTH, (this.page + 1) * PAGE_LENGTH).map((i) =>
      element("tr", {}, ...this.names.map((own) => element("td", {
        textContent: shownValue(own, runs[own][i]), title: own === "error" ? runs[own][i] || "" : "",
        className: own === "status" ? `status-${runs[own][i]}` : "",
      }))));
    this.table.tBodies[0].replaceChildren(...rows);
    for (const head of this.table.tHead.rows[0].cells) {
      const isSorted = head.dataset.name === name;
      head.setAttribute("aria-sort", isSorted ? (falling ? "descending" : "ascending") : "none");
      head.firstChild.textContent = RUN_HEADS[head.dataset.name] + (isSorted ? (falling ? " ↓" : " ↑") : "");
    }
    document.getElementById("page").textContent = `page ${this.page + 1} of ${pages}, ${found.length} runs`;
    document.getElementById("previous").disabled = this.page === 0;
    document.getElementById("next").disabled = this.page === pages - 1;
    document.getElementById("cost").textContent = this.#cost(found);
  }

  #cost(found) {
    const counts = new Map();
    let seconds = 0, steps = 0;
    for (const i of found) {
      counts.set(this.runs.status[i], (counts.get(this.runs.status[i]) || 0) + 1);
      seconds += this.runs.seconds[i] || 0;
      steps += this.runs.training_steps[i] || 0;
    }
    const listed = [...counts].map(([status, count]) => `${count.toLocaleString("en")} ${status}`).join(", ");
    return `${listed || "no runs"}; ${steps.toLocaleString("en")} training steps, ${duration(seconds)} in trials.`;
  }
}

function duration(seconds) {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  return seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toPrecision(3)} h`;
}

function shownValue(name, value) {
  if (value === null) return "";
  if (name === "training_steps") return value.toLocaleString("en");
  if (name !== "seconds") return String(value);
  return value < 100 ? value.toPrecision(3) : Math.round(value).toLocaleString("en");
}
