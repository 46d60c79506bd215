/*
 * A text whose characters can be inspected one by one. An entry is what the worker reports about a character:
 * `character`, `probability`, `bits`, `sampling`, `alternatives` and `activations`; and whether the user has `chosen` it.
 */

import { dequantize } from "../bytes.js";
import { createCharacter, isMark } from "../character.js";
import { byId } from "../dom.js";

/** Return the activation of a unit from its byte, or 0 if there is none. */
export function decodeActivation(activations, unit) {
  return activations && unit < activations.length ? dequantize(activations[unit]) : 0;
}

export class InspectableText {
  /** `onInspect` is called when another character is inspected, `onDigit(text, i, n)` when n is typed at the i-th. */
  constructor(box, onInspect, onDigit) {
    Object.assign(this, { box, onInspect, onDigit, entries: [], given: 0, selected: null, hovered: null, marks: 0 });
    this.colouring = { kind: "surprisal", unit: 0 };
    box.addEventListener("pointerover", (event) => this.onPointerOver(event));
    box.addEventListener("click", (event) => this.onClick(event));
    box.addEventListener("keydown", (event) => this.onKeyDown(event));
    box.addEventListener("focus", () => {
      if (this.selected === null && this.entries.length && box.matches(":focus-visible")) this.select(this.entries.length - 1);
    });
  }

  /** The index of the inspected character: the selected one, the one last pointed at, or the last one, if any. */
  get inspected() { return this.selected ?? this.hovered ?? (this.entries.length ? this.entries.length - 1 : null); }

  /** The characters from one index to another. */
  string(from = 0, to = this.entries.length) {
    return this.entries.slice(from, to).map((entry) => entry.character).join("");
  }

  /** Replace the text, of which the first `given` characters are given. */
  reset(entries, given) {
    Object.assign(this, { entries: [], given, marks: 0, hovered: null });
    this.box.replaceChildren();
    this.select(null);
    this.append(entries);
  }

  append(entries) {
    const added = document.createDocumentFragment();
    for (const entry of entries) {
      const span = createCharacter(entry.character, this.marks);
      this.marks = isMark(entry.character) ? this.marks + 1 : 0;
      if (this.entries.length < this.given) span.classList.add("given");
      if (entry.chosen) span.classList.add("chosen");
      this.entries.push(entry);
      this.paint(span, entry);
      added.append(span);
    }
    this.box.append(added);
  }

  /** Complete the last entry with its activations, which are known once it has been read. */
  complete({ activations }) {
    const last = this.entries.at(-1);
    last.activations = activations;
    this.paint(this.box.lastElementChild, last);
  }

  // ---- Colours ----

  /** Colour by "surprisal", by "unit" or by "none". */
  setColouring(kind, unit) {
    this.colouring = { kind, unit };
    this.box.dataset.colour = kind;
    this.repaint();
  }

  repaint() { this.entries.forEach((entry, i) => this.paint(this.box.children[i], entry)); }

  paint(span, entry) {
    const { kind, unit } = this.colouring;
    const value = kind === "unit" ? decodeActivation(entry.activations, unit) : kind === "surprisal" ? (entry.bits ?? 0) / 8 : 0;
    span.style.setProperty("--level", Math.min(1, Math.abs(value)).toFixed(3));
    span.classList.toggle("negative", value < 0);
  }

  // ---- Pointer ----

  indexOf(node) {
    const span = node instanceof Element ? node.closest(".text > span") : null;
    return span && span.parentNode === this.box ? Array.prototype.indexOf.call(this.box.children, span) : null;
  }

  onPointerOver(event) {
    const i = event.pointerType === "touch" ? null : this.indexOf(event.target);
    if (i !== null) this.inspect("hovered", i);
  }

  inspect(how, i) {
    if (this[how] === i) return;
    this[how] = i;
    this.onInspect();
  }

  select(i) {
    if (this.selected !== null) this.box.children[this.selected]?.classList.remove("selected");
    this.inspect("selected", i);
    if (i === null) return;
    const span = this.box.children[i];
    span.classList.add("selected");
    span.scrollIntoView({ block: "nearest" });
  }

  onClick(event) {
    const i = this.indexOf(event.target);
    this.select(i === this.selected ? null : i);
  }

  // ---- Keyboard ----

  onKeyDown(event) {
    if (event.altKey || !this.entries.length) return;
    const last = this.entries.length - 1, at = this.selected ?? last, hasControl = event.ctrlKey || event.metaKey;
    const target = {
      ArrowLeft: () => at - 1,
      ArrowRight: () => at + 1,
      ArrowUp: () => this.findVertical(at, -1),
      ArrowDown: () => this.findVertical(at, 1),
      Home: () => hasControl ? 0 : this.findLineEnd(at, -1),
      End: () => hasControl ? last : this.findLineEnd(at, 1),
    }[event.key];
    if (target) this.select(Math.max(0, Math.min(last, target())));
    else if (!hasControl && this.selected !== null && /^[1-9]$/.test(event.key)) this.onDigit(this, this.selected, Number(event.key));
    else return;
    event.preventDefault();
  }

  /** Left and top of a character; a line feed starts where its glyph is. */
  corner(i) { return this.box.children[i].getClientRects()[0] ?? this.box.children[i].getBoundingClientRect(); }

  /** The last character of a line in a direction. */
  findLineEnd(at, step) {
    const { top } = this.corner(at);
    let i = at;
    while (i + step in this.entries && Math.abs(this.corner(i + step).top - top) < 4) i += step;
    return i;
  }

  /** The character above or below. */
  findVertical(at, step) {
    const { left } = this.corner(at), first = this.findLineEnd(at, step) + step;
    if (!(first in this.entries)) return at;
    const distance = (i) => Math.abs(this.corner(i).left - left);
    let best = first;
    for (let i = first, end = this.findLineEnd(first, step); i !== end + step; i += step) {
      if (distance(i) < distance(best)) best = i;
    }
    return best;
  }
}

/**
 * Show generated text at a readable speed: pass entries on to `append` at the selected speed. `add` queues entries and `end` is called after the last; `done`
 * resolves when all are shown, or when the signal aborts.
 */
export function startTypewriter(signal, append) {
  const queue = [];
  let isEnded = false;
  const run = async () => {
    for (let due = 0, before = null; !signal.aborted && (!isEnded || queue.length);) {
      const now = await new Promise(requestAnimationFrame), speed = Number(byId("speed").value);
      due = speed ? Math.min(due, 1) + speed * (now - (before ?? now)) / 1000 : Infinity; // a speed of 0 shows them as they arrive
      before = now;
      const entries = signal.aborted ? [] : queue.splice(0, Math.floor(Math.min(due, queue.length)));
      due -= entries.length;
      if (entries.length) append(entries);
    }
  };
  return { add: (entries) => queue.push(...entries), end: () => { isEnded = true; }, done: run() };
}
