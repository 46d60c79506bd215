/* The inspector: the selected character, its probability and its alternatives. */

import { formatPercent, glyphOf, isReplaced, nameOf } from "./character.js";

const byId = (id) => document.getElementById(id);

/** Return the alternatives of an entry: the most likely characters, and the actual one if it is not among them. */
export function alternativesOf(entry) {
  const likeliest = entry.likeliest.map(([character, probability, chance]) => ({ character, probability, chance }));
  const isIncluded = likeliest.some(({ character }) => character === entry.character);
  return isIncluded || entry.probability === null ? likeliest : [...likeliest, entry];
}

/** Show the i-th entry; `onChoose(character)` is called when an alternative is chosen. */
export function showCharacter(entry, i, { given, isSelected, onChoose }) {
  byId("hint").hidden = entry !== null;
  byId("details").hidden = entry === null;
  byId("deselect").hidden = !isSelected;
  byId("inspector").classList.toggle("selected", isSelected);
  if (entry === null) return;
  const origin = entry.chosen ? "chosen by you" : i < given ? "given" : "generated";
  const [glyph, title, detail] = byId("character").querySelectorAll("bdi, b, small");
  glyph.textContent = glyphOf(entry.character);
  glyph.classList.toggle("replacement", isReplaced(entry.character));
  title.textContent = nameOf(entry.character);
  detail.textContent = `character ${(i + 1).toLocaleString("en")}, ${origin}`;
  byId("probability").textContent = describeProbability(entry);
  const alternatives = alternativesOf(entry);
  const hasMarks = alternatives.some(({ probability, chance }) => isChanged(probability, chance));
  const items = alternatives.map((alternative, n) => createItem(alternative, n, { entry, hasMarks, onChoose }));
  byId("alternatives").replaceChildren(...items);
  byId("bars-note").hidden = !hasMarks;
}

/** Return the description of an entry for screen readers. */
export function describeEntry(entry) {
  const others = alternativesOf(entry).filter(({ character }) => character !== entry.character).slice(0, 3);
  const named = others.map(({ character, probability }) => `${nameOf(character)} ${formatPercent(probability)}`);
  return `${nameOf(entry.character)}. ${describeProbability(entry)}${named.length ? ` Also: ${named.join(", ")}.` : ""}`;
}

function describeProbability({ probability, bits, chance }) {
  if (probability === null) return "The first character has no probability: nothing precedes it.";
  const sampling = chance === 0 ? " Excluded by your settings." : ` Sampled with probability ${formatPercent(chance)}.`;
  const text = `Probability ${formatPercent(probability)}, surprisal ${bits.toFixed(bits < 10 ? 2 : 1)} bits.`;
  return text + (isChanged(probability, chance) ? sampling : "");
}

/** Whether a sampling probability differs from that of the model. */
function isChanged(probability, chance) {
  return chance !== null && chance !== undefined && Math.abs(probability - chance) > 0.0005;
}

function createItem(alternative, n, { entry, hasMarks, onChoose }) {
  const button = document.createElement("button"), item = document.createElement("li");
  const isActual = alternative.character === entry.character, isExcluded = hasMarks && alternative.chance === 0;
  const parts = ["kbd", "bdi", "i", "data"].map((tag) => document.createElement(tag));
  const [digit, glyph, bar, percent] = parts;
  digit.textContent = n + 1;
  glyph.textContent = glyphOf(alternative.character);
  glyph.classList.toggle("replacement", isReplaced(alternative.character));
  percent.textContent = formatPercent(alternative.probability);
  bar.className = "bar";
  bar.style.setProperty("--probability", alternative.probability);
  if (hasMarks) bar.style.setProperty("--chance", alternative.chance);
  bar.classList.toggle("marked", hasMarks && !isExcluded);
  button.type = "button";
  button.classList.toggle("actual", isActual);
  button.classList.toggle("excluded", isExcluded);
  const label = `${nameOf(alternative.character)}, ${formatPercent(alternative.probability)}`;
  const sampling = isExcluded ? ", excluded by your settings" : hasMarks ? `, sampled with ${formatPercent(alternative.chance)}` : "";
  button.setAttribute("aria-label", label + sampling + (isActual ? ", the actual character" : ""));
  button.title = isExcluded ? "Excluded by your settings, but can be chosen" : isActual ? "The actual character" : "Continue from here with this character";
  button.append(...parts);
  button.addEventListener("click", () => onChoose(alternative.character));
  item.append(button);
  return item;
}
