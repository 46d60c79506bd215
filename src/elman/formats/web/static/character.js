/* Displaying and naming any character, so that none can move, hide or reverse those next to it. */

import { create } from "./dom.js";

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

/** Whether a character is displayed as another. */
export const isReplaced = (character) => !(character in GLYPHS) && replacement(character) !== null;

/** Create the element of a character in a text, after so many combining marks. */
export function createCharacter(character, marks) {
  if (maskSymbols.has(character)) return create("span", { className: "mask", title: maskSymbols.get(character)[1] }, maskSymbols.get(character)[0]);
  if (character === "\n") return create("span", { className: "line-feed" }, character);
  if (character === "\t") return create("span", { className: "tab" }, character);
  if (isReplaced(character)) return create("span", { className: "replacement" }, replacement(character));
  return create("span", {}, isMark(character) && marks >= MAX_MARKS ? `◌${character}` : character);
}

/** Symbols of masks, as far as a page knows them: the letter and the words that each is shown by. */
export const maskSymbols = new Map();

/** The class of an element with the glyph of a character. */
export const classOf = (character) => (maskSymbols.has(character) ? "mask" : isReplaced(character) ? "replacement" : "");

/** Return what displays a character outside of a text. */
export function glyphOf(character) {
  return maskSymbols.get(character)?.[0] ?? GLYPHS[character] ?? replacement(character) ?? (isMark(character) ? `◌${character}` : character);
}

/** Names of characters in Unicode, as far as a page knows them. */
export const unicodeNames = new Map();

/** Return the name of a character. */
export function nameOf(character) {
  if (maskSymbols.has(character)) return maskSymbols.get(character)[1];
  if (character in NAMES) return NAMES[character];
  if (unicodeNames.get(character)) return `${unicodeNames.get(character)}, U+${hex(character)}`;
  if (replacement(character) !== null) return `U+${hex(character)}`;
  if (isMark(character)) return `mark U+${hex(character)}`;
  return character < "\x7f" ? character : `${character} U+${hex(character)}`;
}

/** Replace control characters of a text, except for tabs and line feeds, by visible symbols. */
export const makeVisible = (text) => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, replacement);
