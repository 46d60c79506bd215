/*
 * A text whose characters can be pointed at, one by one. A place is what the server tells of a character: `character`,
 * `probability`, `bits`, `chance`, `likeliest`; and here `codes`, what units did, and whether it was `chosen`.
 */

import { element, isMark } from "./character.js";

const MIDDLE = 127;

/** The activation that a code stands for, or 0 where none was told. */
export function activation(codes, unit) {
  if (!codes || unit >= codes.length) return 0;
  const distance = (codes[unit] - MIDDLE) / MIDDLE;
  return distance * Math.abs(distance);
}

export class Text {
  /** Where characters stand; `changed` is called when another is looked at, `choose(i, n)` when n is typed at i. */
  constructor(box, changed, choose) {
    Object.assign(this, { box, changed, choose, places: [], given: 0, selected: null, hovered: null, marks: 0 });
    this.colouring = { kind: "surprise", unit: 0 };
    box.addEventListener("pointerover", (event) => this.hover(event));
    box.addEventListener("pointerleave", () => this.look("hovered", null));
    box.addEventListener("click", (event) => this.click(event));
    box.addEventListener("keydown", (event) => this.key(event));
    box.addEventListener("focus", () => {
      if (this.selected === null && this.places.length && box.matches(":focus-visible")) this.select(this.places.length - 1);
    });
  }

  /** The place that is looked at, if any. */
  get at() { return this.selected ?? this.hovered; }

  /** The characters from one place to another. */
  string(from = 0, to = this.places.length) {
    return this.places.slice(from, to).map((place) => place.character).join("");
  }

  /** Begin anew with places, so many of which were given. */
  begin(places, given) {
    this.places = [];
    this.given = given;
    this.marks = 0;
    this.box.replaceChildren();
    this.select(null);
    this.hovered = null;
    this.append(places);
  }

  append(places) {
    const added = document.createDocumentFragment();
    for (const place of places) {
      const span = element(place.character, this.marks);
      this.marks = isMark(place.character) ? this.marks + 1 : 0;
      if (this.places.length < this.given) span.classList.add("given");
      if (place.chosen) span.classList.add("chosen");
      this.places.push(place);
      this.paint(span, place);
      added.append(span);
    }
    this.box.append(added);
  }

  /** Take what else is told of the last place. */
  complete(place) {
    const last = this.places.at(-1);
    last.codes = place.codes;
    this.paint(this.box.lastElementChild, last);
  }

  // ---- Colours ----

  /** Colour by "surprise", by "unit" or by "nothing". */
  colour(kind, unit) {
    this.colouring = { kind, unit };
    this.box.dataset.colour = kind;
    this.repaint();
  }

  repaint() {
    this.places.forEach((place, i) => this.paint(this.box.children[i], place));
  }

  paint(span, place) {
    const { kind, unit } = this.colouring;
    const value = kind === "unit" ? activation(place.codes, unit) : kind === "surprise" ? (place.bits ?? 0) / 8 : 0;
    span.style.setProperty("--level", Math.min(1, Math.abs(value)).toFixed(3));
    span.classList.toggle("falls", value < 0);
  }

  // ---- Pointing ----

  indexOf(node) {
    const span = node instanceof Element ? node.closest(".text > span") : null;
    return span && span.parentNode === this.box ? Array.prototype.indexOf.call(this.box.children, span) : null;
  }

  hover(event) {
    if (event.pointerType !== "touch") this.look("hovered", this.indexOf(event.target));
  }

  look(how, i) {
    if (this[how] === i) return;
    this[how] = i;
    this.changed(this);
  }

  select(i) {
    if (this.selected !== null) this.box.children[this.selected]?.classList.remove("selected");
    this.look("selected", i);
    if (i === null) return;
    const span = this.box.children[i];
    span.classList.add("selected");
    span.scrollIntoView({ block: "nearest" });
  }

  click(event) {
    const i = this.indexOf(event.target);
    this.select(i === this.selected ? null : i);
  }

  // ---- Keys ----

  key(event) {
    if (event.altKey || !this.places.length) return;
    const last = this.places.length - 1, at = this.selected ?? last, all = event.ctrlKey || event.metaKey;
    const to = {
      ArrowLeft: () => at - 1,
      ArrowRight: () => at + 1,
      ArrowUp: () => this.line(at, -1),
      ArrowDown: () => this.line(at, 1),
      Home: () => all ? 0 : this.edge(at, -1),
      End: () => all ? last : this.edge(at, 1),
    }[event.key];
    if (to) this.select(Math.max(0, Math.min(last, to())));
    else if (!all && this.selected !== null && /^[1-9]$/.test(event.key)) this.choose(this, this.selected, Number(event.key));
    else return;
    event.preventDefault();
  }

  /** Left and top of a character; a line feed begins where its sign stands. */
  corner(i) {
    const { left, top } = this.box.children[i].getClientRects()[0] ?? this.box.children[i].getBoundingClientRect();
    return { left, top };
  }

  /** The last character of the line, in a direction. */
  edge(at, step) {
    const { top } = this.corner(at);
    let i = at;
    while (i + step in this.places && Math.abs(this.corner(i + step).top - top) < 4) i += step;
    return i;
  }

  /** The character above or below. */
  line(at, step) {
    const { left } = this.corner(at), first = this.edge(at, step) + step;
    if (!(first in this.places)) return at;
    const distance = (i) => Math.abs(this.corner(i).left - left);
    let best = first;
    for (let i = first, end = this.edge(first, step); i !== end + step; i += step) {
      if (distance(i) < distance(best)) best = i;
    }
    return best;
  }
}
