/*
 * The inspector: a character, its probability and its alternatives. An entry has `character`, `probability`, `bits` and
 * `alternatives`: arrays of character, probability and, if that differs, sampling probability. Of an entry that was
 * sampled, `sampling` is the sampling probability; `probability` is null if nothing precedes the character.
 */

import { classOf, glyphOf, nameOf } from "./character.js";
import { byId, create } from "./dom.js";
import { formatPercent } from "./format.js";

/** Return the alternatives of an entry: the most likely characters, and the actual one if it is not among them. */
export function alternativesOf(entry) {
  const likely = entry.alternatives.map(([character, probability, sampling]) => ({ character, probability, sampling }));
  const isIncluded = likely.some(({ character }) => character === entry.character);
  return isIncluded || entry.probability === null || entry.isUnknown ? likely : [...likely, entry];
}

/** Show an entry; `onChoose(character)` is called when an alternative is chosen, if that is possible. */
export function showEntry(entry, detail, onChoose = null) {
  const [glyph, title, small] = byId("character").querySelectorAll("bdi, b, small");
  glyph.textContent = glyphOf(entry.character);
  glyph.className = classOf(entry.character);
  title.textContent = nameOf(entry.character);
  small.textContent = detail;
  byId("probability").textContent = describeProbability(entry);
  const alternatives = alternativesOf(entry);
  const hasMarks = alternatives.some(isChanged);
  const items = alternatives.map((alternative, n) => createItem(alternative, n, { entry, hasMarks, onChoose }));
  byId("alternatives").replaceChildren(...items.map((item) => create("li", {}, item)));
  return hasMarks;
}

/** Return the description of an entry for screen readers. */
export function describeEntry(entry) {
  const others = alternativesOf(entry).filter(({ character }) => character !== entry.character).slice(0, 3);
  const named = others.map(({ character, probability }) => `${nameOf(character)} ${formatPercent(probability)}`);
  return `${nameOf(entry.character)}. ${describeProbability(entry)}${named.length ? ` Also: ${named.join(", ")}.` : ""}`;
}

function describeProbability(entry) {
  const { probability, bits, sampling, isUnknown } = entry;
  if (probability === null) return "The first character has no probability: nothing precedes it.";
  const sampled = sampling === 0 ? " Excluded by your settings." : ` Sampled with probability ${formatPercent(sampling)}.`;
  const subject = isUnknown ? "Unknown character" : `Probability ${formatPercent(probability)}`;
  return `${subject}, surprisal ${bits.toFixed(bits < 10 ? 2 : 1)} bits.${isChanged(entry) ? sampled : ""}`;
}

/** Whether a sampling probability differs from the model's. */
function isChanged({ probability, sampling }) {
  return sampling != null && Math.abs(probability - sampling) > 0.0005;
}

function createItem({ character, probability, sampling }, n, { entry, hasMarks, onChoose }) {
  const isActual = character === entry.character, isExcluded = hasMarks && sampling === 0;
  const bar = create("i", { className: "bar" });
  setBar(bar, probability, hasMarks && !isExcluded ? sampling : null);
  const marks = isExcluded ? ", excluded by your settings" : hasMarks ? `, sampled with ${formatPercent(sampling)}` : "";
  const label = `${nameOf(character)}, ${formatPercent(probability)}${marks}${isActual ? ", the actual character" : ""}`;
  const item = create(
    onChoose ? "button" : "div",
    { className: `alternative ${isActual ? "actual" : ""} ${isExcluded ? "excluded" : ""}`, ariaLabel: label, title: label },
    create("kbd", { hidden: !onChoose }, n + 1),
    create("bdi", { className: classOf(character) }, glyphOf(character)),
    bar,
    create("data", {}, formatPercent(probability)),
  );
  if (onChoose) item.type = "button";
  if (onChoose) item.addEventListener("click", () => onChoose(character));
  return item;
}

/** Fill a bar up to a fraction of its length, and mark another fraction, unless it is null. */
export function setBar(bar, fraction, mark) {
  bar.style.setProperty("--fraction", fraction);
  bar.classList.toggle("marked", mark !== null);
  if (mark !== null) bar.style.setProperty("--mark", mark);
}
