/* The data of the page. Arrays are gzipped and in base64, each in an element of its own. */

import { unicodeNames } from "../character.js";
import { byId } from "../dom.js";

export const STEPS_PER_BIT = 1024;
const NO_SURPRISAL = 0xffff;
const INDEX = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array };

export const data = JSON.parse(byId("data").textContent);
/** The arrays with an entry per character; `candidates` and `probabilities` have one per candidate and character. */
export const arrays = {};

/** Decode an array. */
export async function decodeArray(id, Type = Uint8Array) {
  const binary = atob(byId(id).textContent), packed = new Uint8Array(binary.length);
  for (let i = 0; i < packed.length; i++) packed[i] = binary.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Type(await new Response(stream).arrayBuffer());
}

const decoded = new Map();

/** Decode the activations of a unit, or where a feature holds, once. */
export async function decodeOnce(id) {
  if (!decoded.has(id)) decoded.set(id, await decodeArray(id));
  return decoded.get(id);
}

/** Decode the arrays that the page needs from the start; those of the prior only if there is one. */
export async function loadArrays() {
  const Index = INDEX[data.indexBytes];
  const types = { indices: Index, surprisal: Uint16Array, candidates: Index, probabilities: Uint16Array };
  const prior = { "prior-surprisal": Uint16Array, "prior-matched": Uint8Array, "prior-counting": Int16Array, "prior-network": Int16Array };
  const entries = Object.entries(data.order ? { ...types, ...prior } : types);
  await Promise.all(entries.map(async ([id, Type]) => { arrays[id] = await decodeArray(id, Type); }));
  for (const [character, name] of data.alphabet) unicodeNames.set(character, name);
  const first = arrays.surprisal.indexOf(NO_SURPRISAL);
  arrays.firstKnown = first < 0 ? data.chars : first; // the position of the first known character, if there is one
}

/** The surprisal of a character in bits; the first known one has none. */
export const bitsAt = (n) => (n === arrays.firstKnown ? null : arrays.surprisal[n] / STEPS_PER_BIT);

export const isKnown = (n) => arrays.indices[n] < data.knownChars;

/** The character at a position, with its probability and the most likely ones; there are none until one was read. */
export function entryAt(n) {
  const bits = bitsAt(n), characterOf = (index) => data.alphabet[index][0];
  const candidates = n <= arrays.firstKnown ? [] : Array.from({ length: data.candidates }, (_, c) => c * data.chars + n);
  const alternatives = candidates.map((i) => [characterOf(arrays.candidates[i]), arrays.probabilities[i] / 0xffff]);
  const probability = bits === null ? null : 2 ** -bits;
  return { character: characterOf(arrays.indices[n]), isUnknown: !isKnown(n), probability, bits, alternatives };
}
