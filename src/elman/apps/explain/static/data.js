/*
 * The data of the page, and the views of it: a colour for every level, the level of every character, and the legend.
 * Each array is in an element of its own.
 */

import { decodeBytes, dequantize } from "../bytes.js";
import { maskSymbols, unicodeNames } from "../character.js";
import { byId } from "../dom.js";
import { formatSigned } from "../format.js";

export const STEPS_PER_BIT = 1024;
const NO_SURPRISAL = 0xffff;
const SURPRISAL_LEVELS = 32, LEVELS = 20, FULL_BITS = 4;
const INDEX = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array };

export const data = JSON.parse(byId("data").textContent);
/** The arrays with an entry per character; `candidates` and `probabilities` have one per candidate and character. */
export const arrays = {};

/** Decode an array. */
export const decodeArray = async (id, Type = Uint8Array) => new Type(await decodeBytes(byId(id).textContent));

/** Decode the arrays that the page needs from the start, and, if there is a prior, its arrays. */
export async function loadArrays() {
  const Index = INDEX[data.indexBytes];
  const types = { indices: Index, surprisal: Uint16Array, candidates: Index, probabilities: Uint16Array };
  const prior = { "prior-surprisal": Uint16Array, "prior-matched": Uint8Array, "prior-counting": Int16Array, "prior-network": Int16Array };
  const entries = Object.entries(data.order ? { ...types, ...prior } : types);
  await Promise.all(entries.map(async ([id, Type]) => { arrays[id] = await decodeArray(id, Type); }));
  for (const [symbol, shown] of Object.entries(data.symbols)) maskSymbols.set(symbol, shown);
  for (const [character, name] of data.alphabet) unicodeNames.set(character, name);
  const first = arrays.surprisal.indexOf(NO_SURPRISAL);
  arrays.firstKnown = first < 0 ? data.chars : first; // the position of the first known character, if there is one
}

/** The surprisal of a character in bits; the first known one has none. */
const bitsAt = (n) => (n === arrays.firstKnown ? null : arrays.surprisal[n] / STEPS_PER_BIT);

export const isKnown = (n) => arrays.indices[n] < data.knownChars;

/** The character at a position, with its probability and the most likely ones; there are none until one was read. */
export function entryAt(n) {
  const bits = bitsAt(n), characterOf = (index) => data.alphabet[index][0];
  const candidates = n <= arrays.firstKnown ? [] : Array.from({ length: data.candidates }, (_, c) => c * data.chars + n);
  const alternatives = candidates.map((i) => [characterOf(arrays.candidates[i]), arrays.probabilities[i] / 0xffff]);
  const probability = bits === null ? null : 2 ** -bits;
  return { character: characterOf(arrays.indices[n]), isUnknown: !isKnown(n), probability, bits, alternatives };
}

const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/** Interpolate `steps` + 1 colours between the stops listed in a CSS property. */
function createRamp(property, steps) {
  const stops = getComputedStyle(document.documentElement).getPropertyValue(property).trim().split(/\s+/).map(channels);
  return Array.from({ length: steps + 1 }, (_, step) => {
    const at = (step / steps) * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(at));
    const mixed = stops[i].map((value, k) => Math.round(value + (stops[i + 1][k] - value) * (at - i)));
    return `rgb(${mixed.join(" ")})`;
  });
}

/** Return the colours from one property to another, and the level of a value from -1 to 1. */
const createScale = (low, high) => ({
  plain: LEVELS,
  colours: [...createRamp(low, LEVELS).reverse(), ...createRamp(high, LEVELS).slice(1)],
  levelOf: (value) => LEVELS + Math.round(LEVELS * Math.max(-1, Math.min(1, value))),
});

export function surprisalView() {
  return {
    kind: "surprisal", unit: null, plain: 0, colours: createRamp("--surprisal-stops", SURPRISAL_LEVELS),
    ticks: ["0", "2", "4", "6", "8 or more bits"],
    description: "Surprisal of each character. The stronger the colour, the less expected it was.",
    level: (n) => Math.min(SURPRISAL_LEVELS, Math.round((bitsAt(n) ?? 0) * SURPRISAL_LEVELS / 8)),
  };
}

/** Which of counting and network contributes more to a character, by up to FULL_BITS bits; a negative contribution is none. */
export function priorView() {
  const scale = createScale("--counting-stops", "--network-stops");
  const contribution = (name, n) => Math.max(0, arrays[name][n]) / STEPS_PER_BIT / FULL_BITS;
  return {
    ...scale, kind: "prior", unit: null, ticks: [`${FULL_BITS} bits more counting`, "equal", `${FULL_BITS} bits more network`],
    description: "What predicts each character: amber where counting contributes more to its probability, blue where the network does.",
    level: (n) => scale.levelOf(contribution("prior-network", n) - contribution("prior-counting", n)),
  };
}

/** The colour of the contribution of "counting" or "network" in bits. */
export function contributionColour(name, bits) {
  return createRamp(`--${name}-stops`, LEVELS)[Math.round(LEVELS * Math.max(0, Math.min(1, bits / FULL_BITS)))];
}

export function unitView(unit, codes) {
  const { name, range: largest } = data.units[unit], scale = createScale("--falls-stops", "--rises-stops");
  const levels = Uint8Array.from({ length: 256 }, (_, code) => scale.levelOf(largest ? dequantize(code) / largest : 0));
  return {
    ...scale, kind: "unit", unit, codes, ticks: [formatSigned(-largest), "0", formatSigned(largest)],
    description: `Activation of ${name} after each character. Full colour is its largest absolute value in this text.`,
    level: (n) => levels[codes[n]],
  };
}
