/* Displaying and naming any character, so that none can move, hide or reverse those next to it. */

const NAMES = { " ": "space", "\n": "line feed", "\t": "tab", "\r": "carriage return", "\0": "null" };
const GLYPHS = { " ": "␣", "\n": "↵", "\t": "⇥" };
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u;
const OTHER_SPACE = /[\p{Zs}\u115f\u1160\u3164\uffa0]/u;
const COMBINING_MARK = /[\p{Mn}\p{Me}]/u;
/** Combining marks on one character; more would overlap the lines above. */
const MAX_MARKS = 2;

const hex = (character) => character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");

/** What replaces a character that has no shape of its own, or null. */
function replacement(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "␡";
  if (INVISIBLE.test(character)) return `‹${hex(character)}›`;
  return OTHER_SPACE.test(character) ? "␣" : null;
}

/** Whether a character combines with the one before it. */
export const isMark = (character) => COMBINING_MARK.test(character);

/** Create the element of a character in a text, after so many combining marks. */
export function createElement(character, marks) {
  const span = document.createElement("span");
  if (character === "\n" || character === "\t") {
    span.className = character === "\n" ? "line-feed" : "tab";
    span.textContent = character;
  } else if (character === " ") {
    span.textContent = character;
  } else if (replacement(character) !== null) {
    span.className = "replacement";
    span.textContent = replacement(character);
  } else {
    span.textContent = isMark(character) && marks >= MAX_MARKS ? `◌${character}` : character;
  }
  return span;
}

/** Whether a character is displayed as another. */
export const isReplaced = (character) => !(character in GLYPHS) && replacement(character) !== null;

/** Return what displays a character outside of a text. */
export function glyphOf(character) {
  return GLYPHS[character] ?? replacement(character) ?? (isMark(character) ? `◌${character}` : character);
}

/** Return the name of a character. */
export function nameOf(character) {
  if (character in NAMES) return NAMES[character];
  if (replacement(character) !== null) return `U+${hex(character)}`;
  if (isMark(character)) return `mark U+${hex(character)}`;
  return character < "\x7f" ? character : `${character} U+${hex(character)}`;
}

export const capitalize = (text) => text[0].toUpperCase() + text.slice(1);

export const formatCount = (count) => `${count.toLocaleString("en")} ${count === 1 ? "character" : "characters"}`;

export function formatPercent(p) {
  if (p === 0) return "0 %";
  if (p < 0.001) return "< 0.1 %";
  if (p > 0.999 && p < 1) return "> 99.9 %";
  return `${(100 * p).toFixed(p < 0.0995 || p > 0.9905 ? 1 : 0)} %`;
}

/** Format an activation with its sign. */
export function formatSigned(value) {
  const digits = Math.abs(value).toFixed(2);
  return Number(digits) === 0 ? digits : (value < 0 ? "−" : "+") + digits;
}
