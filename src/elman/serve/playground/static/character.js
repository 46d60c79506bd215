/* How a character is shown and named, whatever it is: none may move, hide or turn round those beside it. */

const NAMES = { " ": "space", "\n": "line feed", "\t": "tab", "\r": "carriage return", "\0": "null" };
const SIGNS = { " ": "␣", "\n": "↵", "\t": "⇥" };
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u;
const OTHER_SPACE = /[\p{Zs}\u115f\u1160\u3164\uffa0]/u;
const ABOVE_OR_BELOW = /[\p{Mn}\p{Me}]/u;
/** Marks on one character; more would climb over the lines above. */
const MOST_MARKS = 2;

const hex = (character) => character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");

/** The text of a character that has no shape of its own, or null. */
function picture(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "␡";
  if (UNSEEN.test(character)) return `‹${hex(character)}›`;
  return OTHER_SPACE.test(character) ? "␣" : null;
}

/** Whether a character stands above or below the one before it. */
export const isMark = (character) => ABOVE_OR_BELOW.test(character);

/** The element of a character in a text, behind so many marks. */
export function element(character, marks) {
  const span = document.createElement("span");
  if (character === "\n" || character === "\t") {
    span.className = character === "\n" ? "line-feed" : "tab";
    span.textContent = character;
  } else if (character === " ") {
    span.textContent = character;
  } else if (picture(character) !== null) {
    span.className = "picture";
    span.textContent = picture(character);
  } else {
    span.textContent = isMark(character) && marks >= MOST_MARKS ? `◌${character}` : character;
  }
  return span;
}

/** Whether a character is shown as something else. */
export const isPicture = (character) => !(character in SIGNS) && picture(character) !== null;

/** A character alone, as in a list. */
export function sign(character) {
  return SIGNS[character] ?? picture(character) ?? (isMark(character) ? `◌${character}` : character);
}

/** What a character is called. */
export function name(character) {
  if (character in NAMES) return NAMES[character];
  if (picture(character) !== null) return `U+${hex(character)}`;
  if (isMark(character)) return `mark U+${hex(character)}`;
  return character < "\x7f" ? character : `${character} U+${hex(character)}`;
}

export const counted = (count) => `${count.toLocaleString("en")} ${count === 1 ? "character" : "characters"}`;

/** A probability as it is read. */
export function percent(p) {
  if (p === 0) return "0 %";
  if (p < 0.001) return "< 0.1 %";
  if (p > 0.999 && p < 1) return "> 99.9 %";
  return `${(100 * p).toFixed(p < 0.0995 || p > 0.9905 ? 1 : 0)} %`;
}

/** An activation with its sign. */
export function signed(value) {
  const digits = Math.abs(value).toFixed(2);
  return Number(digits) === 0 ? digits : (value < 0 ? "−" : "+") + digits;
}
