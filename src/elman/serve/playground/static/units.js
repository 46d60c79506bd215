/* Hidden units: a cell for each, coloured by what it does at one character, and the line of the one that is chosen. */

import { signed } from "./character.js";
import { activation } from "./text.js";

const byId = (id) => document.getElementById(id);
/** Characters that the line of a unit shows, and the height of its drawing. */
const ALONG = 240, HEIGHT = 48;
/** Units from which on the cells are small. */
const MANY = 128;

/** Return the blocks of units that are watched together, at most `most` in each. */
export function blocksOf({ units, layers }, most) {
  let number = 0;
  return units.flatMap(({ layer, part, count }) => {
    const first = number;
    number += count;
    return Array.from({ length: Math.ceil(count / most) }, (_, k) => {
      const from = k * most, size = Math.min(most, count - from);
      const range = count > most ? ` ${from + 1}–${from + size}` : "";
      return { label: `${layers > 1 ? `Layer ${layer}, ` : ""}${part}${range}`, part, from, size, first: first + from };
    });
  });
}

export class Units {
  /** `chosen` is called when a unit, or none, is chosen; `moved` when another block is. */
  constructor(chosen, moved) {
    Object.assign(this, { chosen, moved, blocks: [], block: null, unit: null, cells: [] });
    byId("cells").addEventListener("click", (event) => this.click(event));
    byId("cells").addEventListener("keydown", (event) => this.key(event));
    byId("block").addEventListener("change", () => { this.lay(Number(byId("block").value)); this.moved(); });
  }

  /** Begin anew with the units of a model. */
  begin(model, most) {
    this.blocks = blocksOf(model, most);
    byId("block").replaceChildren(...this.blocks.map(({ label }, i) => new Option(label, i)));
    byId("block").hidden = this.blocks.length < 2;
    this.lay(0);
  }

  lay(i) {
    this.block = this.blocks[i];
    this.unit = null;
    this.cells = Array.from({ length: this.block.size }, (_, k) => {
      const cell = document.createElement("button");
      cell.type = "button";
      cell.tabIndex = k ? -1 : 0;
      return cell;
    });
    byId("cells").replaceChildren(...this.cells);
    byId("cells").classList.toggle("many", this.cells.length > MANY);
    this.show(null, [], null);
  }

  /** The numbers of the units that are watched. */
  get watched() { return Array.from({ length: this.block.size }, (_, k) => this.block.first + k); }

  nameOf(k) { return `${this.block.part === "memory" ? "Memory" : "Unit"} ${this.block.from + k + 1}`; }

  /** Show what the units do at a place, and the chosen one along all places up to and around the i-th. */
  show(place, places, i) {
    this.cells.forEach((cell, k) => {
      const value = activation(place?.codes, k);
      cell.style.setProperty("--level", Math.abs(value).toFixed(2));
      cell.classList.toggle("falls", value < 0);
      cell.title = place ? `${this.nameOf(k)}: ${signed(value)}` : this.nameOf(k);
      cell.setAttribute("aria-label", cell.title);
      cell.setAttribute("aria-pressed", k === this.unit);
    });
    byId("along").hidden = this.unit === null;
    byId("units-say").textContent = this.unit === null
      ? "Each square is a unit: blue above 0, red below. Choose one to see where in the text it is at work."
      : "The text is coloured by this unit. Choose it again to let go.";
    if (this.unit !== null) this.draw(place, places, i);
  }

  draw(place, places, i) {
    byId("along-name").textContent = this.nameOf(this.unit);
    byId("along-value").textContent = place ? signed(activation(place.codes, this.unit)) : "";
    const from = Math.max(0, Math.min((i ?? 0) - ALONG / 2, places.length - ALONG));
    const height = ({ codes }) => HEIGHT / 2 - (HEIGHT / 2 - 2) * activation(codes, this.unit);
    const points = places.slice(from, from + ALONG).map((one, x) => `${x},${height(one).toFixed(1)}`);
    const drawing = byId("along").querySelector("svg"), now = drawing.querySelector(".now");
    drawing.querySelector("polyline").setAttribute("points", points.join(" "));
    for (const end of ["x1", "x2"]) now.setAttribute(end, i === null ? -9 : i - from);
  }

  choose(k) {
    this.unit = k === this.unit ? null : k;
    this.chosen();
  }

  click(event) {
    const k = this.cells.indexOf(event.target);
    if (k < 0) return;
    this.focus(k);
    this.choose(k);
  }

  focus(k) {
    this.cells.forEach((cell, j) => { cell.tabIndex = j === k ? 0 : -1; });
    this.cells[k].focus();
  }

  key(event) {
    const at = this.cells.indexOf(document.activeElement), top = this.cells[0].offsetTop;
    const columns = this.cells.filter((cell) => cell.offsetTop === top).length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const to = event.key === "Home" ? 0 : event.key === "End" ? this.cells.length - 1 : at + step;
    if (at < 0 || !(to in this.cells)) return;
    event.preventDefault();
    this.focus(to);
  }
}
