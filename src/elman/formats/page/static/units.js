/* Hidden units: a cell for each, coloured by its activation at one character, and the trace of the selected one. */

import { byId, create } from "../dom.js";
import { capitalize, formatSigned } from "../format.js";
import { decodeActivation } from "./text.js";

/** Characters that the trace of a unit shows, and the height of its drawing. */
const TRACE_LENGTH = 240, TRACE_HEIGHT = 48;
/** Number of units above which the cells are small, and the most that are reported together. */
const MANY = 128, MAX_UNITS = 256;

/** Return groups of units that are reported together. */
function groupUnits({ units, layers }) {
  let number = 0;
  return units.flatMap(({ layer, part, name, count }) => {
    const first = number;
    number += count;
    return Array.from({ length: Math.max(1, Math.ceil(count / MAX_UNITS)) }, (_, k) => {
      const from = k * MAX_UNITS, size = Math.min(MAX_UNITS, count - from);
      const range = count > MAX_UNITS ? ` ${from + 1}–${from + size}` : "";
      return { label: `${layers > 1 ? `Layer ${layer}, ` : ""}${name}${range}`, unitName: part === "hidden" ? "Unit" : capitalize(name), from, size, first: first + from };
    });
  });
}

export class Units {
  /** `onSelect` is called when a unit, or none, is selected; `onGroupChange` when another group is. */
  constructor(onSelect, onGroupChange) {
    Object.assign(this, { onSelect, onGroupChange, groups: [], group: null, unit: null, cells: [] });
    byId("cells").addEventListener("click", (event) => this.onClick(event));
    byId("cells").addEventListener("keydown", (event) => this.onKeyDown(event));
    byId("block").addEventListener("change", () => { this.setGroup(Number(byId("block").value)); this.onGroupChange(); });
  }

  /** Show the units of a model. */
  setModel(model) {
    this.groups = groupUnits(model);
    byId("block").replaceChildren(...this.groups.map(({ label }, i) => new Option(label, i)));
    byId("block").hidden = this.groups.length < 2;
    byId("units").hidden = document.querySelector("[name=colour][value=unit]").disabled = !model.hidden_size;
    this.setGroup(0);
  }

  setGroup(i) {
    this.group = this.groups[i];
    this.unit = null;
    this.cells = Array.from({ length: this.group.size }, (_, k) => create("button", { type: "button", tabIndex: k ? -1 : 0 }));
    byId("cells").replaceChildren(...this.cells);
    byId("cells").classList.toggle("many", this.cells.length > MANY);
    this.show(null, [], null);
  }

  /** Indices into the state of the units to report. */
  get indices() { return Array.from({ length: this.group.size }, (_, k) => this.group.first + k); }

  nameOf(k) { return `${this.group.unitName} ${this.group.from + k + 1}`; }

  /** Show the activations at an entry, and the trace of the selected unit around the i-th of all entries. */
  show(entry, entries, i) {
    this.cells.forEach((cell, k) => {
      const value = decodeActivation(entry?.activations, k);
      cell.style.setProperty("--level", Math.abs(value).toFixed(2));
      cell.classList.toggle("negative", value < 0);
      cell.title = entry ? `${this.nameOf(k)}: ${formatSigned(value)}` : this.nameOf(k);
      cell.setAttribute("aria-label", cell.title);
      cell.setAttribute("aria-pressed", k === this.unit);
    });
    byId("trace").hidden = this.unit === null;
    byId("units-note").textContent = this.unit === null
      ? "Each square is a unit: blue above 0, red below. Select one to colour the text by its activation."
      : "The text is coloured by this unit. Select it again to deselect it.";
    if (this.unit !== null) this.drawTrace(entry, entries, i);
  }

  drawTrace(entry, entries, i) {
    byId("trace-name").textContent = this.nameOf(this.unit);
    byId("trace-value").textContent = entry ? formatSigned(decodeActivation(entry.activations, this.unit)) : "";
    const from = Math.max(0, Math.min((i ?? 0) - TRACE_LENGTH / 2, entries.length - TRACE_LENGTH));
    const height = ({ activations }) => TRACE_HEIGHT / 2 - (TRACE_HEIGHT / 2 - 2) * decodeActivation(activations, this.unit);
    const points = entries.slice(from, from + TRACE_LENGTH).map((each, x) => `${x},${height(each).toFixed(1)}`);
    const drawing = byId("trace").querySelector("svg"), now = drawing.querySelector(".now");
    drawing.querySelector("polyline").setAttribute("points", points.join(" "));
    for (const end of ["x1", "x2"]) now.setAttribute(end, i === null ? -9 : i - from);
  }

  select(k) {
    this.unit = k === this.unit ? null : k;
    this.onSelect();
  }

  onClick(event) {
    const k = this.cells.indexOf(event.target);
    if (k < 0) return;
    this.focus(k);
    this.select(k);
  }

  focus(k) {
    this.cells.forEach((cell, j) => { cell.tabIndex = j === k ? 0 : -1; });
    this.cells[k].focus();
  }

  onKeyDown(event) {
    const at = this.cells.indexOf(document.activeElement), top = this.cells[0].offsetTop;
    const columns = this.cells.filter((cell) => cell.offsetTop === top).length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const to = event.key === "Home" ? 0 : event.key === "End" ? this.cells.length - 1 : at + step;
    if (at < 0 || !(to in this.cells)) return;
    event.preventDefault();
    this.focus(to);
  }
}
