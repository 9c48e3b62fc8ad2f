// Puts the page together, and draws all of it anew when something is chosen.
"use strict";
const FILTER_NAMES = {
  dataset: "Data set", network: "Network", shift: "Shift", intervention: "Intervention", sparsity: "Sparsity",
};

function chooser(name, label, choices, value, changed) {
  const select = element("select", { name }, ...choices.map(({ value: own, label: text }) => element("option", { value: own, textContent: text })));
  select.value = value;
  select.addEventListener("change", () => changed(select.value));
  return element("label", {}, `${label} `, select);
}

// Text with what stands between backticks as code.
const withCode = (text) => text.split("`").map((part, i) => (i % 2 ? element("code", {}, part) : part));

class Page {
  constructor(study) {
    this.study = study;
    this.selection = new Selection(study);
    this.runs = new RunTable(study);
    this.wanted = {}; // by the reader, of each figure: what cannot be had just now is not forgotten
    this.waiting = new Set();
    this.near = new Set();
    this.figures = FIGURES.filter((figure) => figure.isMeasured(study));
    this.#buildTheme();
    this.#buildFilters();
    this.#buildObserver();
    this.#buildFigures();
    this.draw();
  }

  #buildTheme() {
    const system = matchMedia("(prefers-color-scheme: dark)"), select = document.getElementById("theme");
    const apply = () => {
      const wanted = select.value === "auto" ? (system.matches ? "dark" : "light") : select.value;
      document.documentElement.dataset.theme = wanted;
    };
    apply();
    const changed = () => { apply(); this.draw(); };
    select.addEventListener("change", changed);
    system.addEventListener("change", changed);
  }

  #buildFilters() {
    const place = document.getElementById("options"), { study, selection } = this;
    if (isNarrow()) document.getElementById("filters").open = false;
    if (study.protocolChoices.size > 1) {
      const choices = [...study.protocolChoices.keys()].map((value) => ({ value, label: study.protocolLabel(value) }));
      place.append(chooser("protocol", "Protocol", choices, selection.protocol, (value) => { selection.protocol = value; this.#changed(); }));
    }
    for (const [name, label] of Object.entries(FILTER_NAMES)) {
      const values = study.filters[name];
      if (values.length < 2) continue;
      const boxes = values.map((value) => {
        const box = element("input", { type: "checkbox", checked: true, value, name });
        box.addEventListener("change", () => {
          if (box.checked) selection.options[name].add(value); else selection.options[name].delete(value);
          this.#changed();
        });
        return box;
      });
      const all = (checked) => {
        for (const box of boxes) box.checked = checked;
        selection.options[name] = new Set(checked ? values : []);
        this.#changed();
      };
      const legend = element("legend", {}, label);
      for (const [text, checked] of [["all", true], ["none", false]]) {
        const button = element("button", { type: "button", textContent: text, ariaLabel: `${label}: ${text}` });
        button.addEventListener("click", () => all(checked));
        legend.append(button);
      }
      const shown = boxes.map((box) => element("label", {}, box, String(box.value)));
      place.append(element("fieldset", { data: { filter: name } }, legend, element("div", { className: "values" }, ...shown)));
    }
    const { seed: seeds } = study.filters;
    if (seeds.length > 1) {
      const choices = [{ value: "", label: "all, averaged" }, ...seeds.map((value) => ({ value, label: value }))];
      place.append(chooser("seed", "Seed", choices, "", (value) => {
        selection.options.seed = new Set(value ? [value] : seeds);
        this.#changed();
      }));
    }
  }

  #changed() {
    this.selection.refresh();
    this.draw();
  }

  #buildFigures() {
    const all = document.getElementById("figures");
    for (const figure of this.figures) {
      const table = element("table");
      const details = element("details", {}, element("summary", {}, "The figures as a table"),
        element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: `${figure.title}, table` }, table));
      details.addEventListener("toggle", () => this.#fill(figure));
      const section = element("section", { className: `figure ${figure.className || ""}`, id: figure.id },
        element("h2", {}, figure.title), element("p", { className: "note" }, ...withCode(figure.text)),
        element("div", { className: "controls" }), element("ul", { className: "key" }),
        element("div", { className: "facets" }), element("p", { className: "note remark" }), details);
      section.setAttribute("aria-label", figure.title);
      all.append(section);
      this.wanted[figure.id] = {};
      this.observer.observe(section);
    }
    addEventListener("beforeprint", () => this.#drawWaiting(this.figures));
  }

  // Figures far away are drawn when one comes near them.
  #buildObserver() {
    this.observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.near.add(target.id); else this.near.delete(target.id);
      }
      this.#drawWaiting(this.figures.filter(({ id }) => this.near.has(id)));
    }, { rootMargin: "700px" });
  }

  #drawWaiting(figures) {
    for (const figure of figures) {
      if (this.waiting.delete(figure.id)) this.#draw(figure);
    }
  }

  draw() {
    const { selection, study } = this;
    for (const answer of document.querySelectorAll("#answers [data-protocol]")) {
      const { dataset } = answer;
      answer.hidden = study.protocolChoices.size > 1 && dataset.protocol !== selection.protocol
        || SETTING.some((name) => name in dataset && !selection.options[name].has(dataset[name]));
    }
    const shown = selection.places.filter((i) => selection.options.seed.has(study.streams.seed[i])).length;
    const all = study.streams.protocol.filter((own) => study.protocolChoices.get(selection.protocol).has(own)).length;
    const of = study.protocolChoices.size > 1 ? " of this protocol" : "";
    document.getElementById("chosen").textContent = selection.isWhole ? `(everything${of} is shown)` : `(${shown} of ${all} streams${of} are shown)`;
    for (const { id } of this.figures) this.waiting.add(id);
    this.#drawWaiting(this.figures.filter(({ id }) => this.near.has(id)));
    this.runs.draw(selection);
    this.#showProtocol();
  }

  #draw(figure) {
    const { study, selection } = this;
    const section = document.getElementById(figure.id), wanted = this.wanted[figure.id], chosen = {};
    const controls = figure.controls ? figure.controls(study, selection) : {};
    for (const [name, { choices }] of Object.entries(controls)) {
      chosen[name] = choices.some(({ value }) => value === wanted[name]) ? wanted[name] : choices[0]?.value;
    }
    this.#showControls(section.querySelector(".controls"), controls, chosen, figure);
    const isPossible = Object.values(controls).every(({ choices }) => choices.length);
    const drawn = isPossible ? figure.draw(study, selection, chosen) : { panels: [], key: [], heads: [], rows: [] };
    const left = showPanels(section.querySelector(".facets"), drawn.panels, figure.title);
    showKey(section.querySelector(".key"), drawn.key);
    const remarks = [drawn.note, left > 0 ? `${left} more panels: choose less above to see them.` : "", drawn.panels.length ? "" : "Nothing to show: what is chosen has no such finite values."];
    section.querySelector(".remark").textContent = remarks.filter(Boolean).join(" ");
    section.drawn = drawn;
    this.#fill(figure);
  }

  #showControls(place, controls, chosen, figure) {
    const state = JSON.stringify([controls, chosen]);
    if (place.dataset.state === state) return;
    const focused = [...place.querySelectorAll("select")].indexOf(document.activeElement);
    place.dataset.state = state;
    place.replaceChildren(...Object.entries(controls).filter(([, { choices }]) => choices.length > 1)
      .map(([name, { label, choices }]) => chooser(name, label, choices, chosen[name], (value) => {
        this.wanted[figure.id][name] = value;
        this.#draw(figure);
      })));
    if (focused >= 0) place.querySelectorAll("select")[focused]?.focus();
  }

  #fill(figure) {
    const section = document.getElementById(figure.id), details = section.querySelector("details");
    if (details.open && section.drawn) fillTable(details.querySelector("table"), section.drawn.heads, section.drawn.rows);
  }

  #showProtocol() {
    const options = this.study.protocols[this.selection.protocol] || {};
    const text = Object.entries(options).map(([name, value]) => `${name}=${value}`).join(", ");
    document.getElementById("protocol").replaceChildren(...(text ? [element("p", {}, `Protocol ${this.selection.protocol}: ${text}`)] : []));
  }
}

inflate(document.getElementById("data").textContent).then((data) => {
  window.raylot = new Page(new Study(data));
}).catch((error) => {
  const place = document.getElementById("broken");
  place.hidden = false;
  place.textContent = `The figures cannot be drawn: ${error.message}. A browser of 2023 or newer is needed.`;
  throw error;
});
