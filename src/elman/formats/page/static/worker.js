/*
 * The worker of the page: it restores the network, and writes or reads a text in pieces that take a few milliseconds. A
 * message asks for the next piece; one that names a task starts that, and one with a model loads it.
 */

import { decodeBytes, quantize } from "../bytes.js";
import { Network } from "./network.js";
import { createSampling, Generator, sampleIndex, softmax } from "./sampling.js";

const PIECE_MS = 20, ALTERNATIVES = 5;

// ---- Loading ----

/** Return the number of a half-precision float. */
function decodeHalf(bits) {
  const exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return (bits & 0x8000 ? -1 : 1) * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction / 2 ** 24);
}

/** By type, what returns the numbers of an array from its bytes; int8 has a factor per row, before the numbers. */
const DECODERS = {
  uint32: (bytes) => new Uint32Array(bytes),
  float32: (bytes) => new Float32Array(bytes),
  float16: (bytes) => {
    const numbers = Float32Array.from({ length: 1 << 16 }, (_, bits) => decodeHalf(bits));
    return new Float32Array(new Uint16Array(bytes)).map((bits) => numbers[bits]);
  },
  int8: (bytes, [rows, columns]) => {
    const factors = new Float32Array(bytes, 0, rows), codes = new Int8Array(bytes, 4 * rows);
    return new Float32Array(codes).map((code, i) => code * factors[Math.floor(i / columns)]);
  },
};

/** Return arrays by name from bytes in which they begin at `start`; `onProgress` gets the fraction that is done. */
function restoreArrays(arrays, bytes, start, onProgress) {
  const restored = {};
  for (const { name, type, shape, size } of arrays) {
    onProgress(0.5 + (0.5 * start) / bytes.byteLength);
    restored[name] = { shape, values: DECODERS[type](bytes.slice(start, start + size), shape) };
    start += size;
  }
  return restored;
}

// ---- Tasks ----

class Inspector {
  constructor(model, sampling, arrays) {
    Object.assign(this, { model, sampling, network: new Network(model, arrays), p: new Float64Array(model.characters.length) });
    this.indices = new Map(model.characters.map((character, index) => [character, index]));
    this.isCellState = model.units.flatMap(({ part, count }) => Array(count).fill(part === "memory"));
  }

  encode(text) {
    const unknown = this.model.has_unknown ? this.model.characters.length - 1 : undefined;
    return Array.from(text, (character) => this.indices.get(character) ?? unknown);
  }

  *generate({ prompt, generated, max_tokens: count, seed, units, ...settings }) {
    const given = this.encode(prompt || this.model.first), known = this.encode(generated), text = [...given, ...known];
    const generator = new Generator(seed);
    known.forEach(() => generator.next());
    // Not reported: what is read in place of an empty prompt; and what is known already, but for the last character, as
    // another may have been chosen in its place.
    const unreported = known.length ? text.length - 1 : prompt ? 0 : given.length;
    yield* this.inspect(text, units, { unreported, count, settings, generator });
    return { generated: count };
  }

  *read({ text, units }) {
    const indices = this.encode(text);
    let bits = 0;
    for (const entries of this.inspect(indices, units)) {
      for (const entry of entries) bits += entry.bits;
      yield entries;
    }
    return { read: indices.length, bits_per_char: indices.length > 1 ? bits / (indices.length - 1) : null };
  }

  /** Read a text, generate so many characters more, and yield the entries of all that are reported, piece by piece. */
  *inspect(text, units, { unreported = 0, count = 0, settings = null, generator = null } = {}) {
    const { network } = this, length = text.length + count, sample = settings && this.createSampler(settings);
    let entries = [], end = performance.now() + PIECE_MS;
    network.start();
    for (let i = 0; i < length; i++) {
      const isGiven = i < text.length, isReported = i >= unreported;
      if (i && (isReported || !isGiven)) network.predict();
      const sampled = isGiven ? null : sample(generator.next());
      const x = isGiven ? text[i] : sampled.x;
      const entry = isReported && this.describe(x, i > 0, sampled?.p);
      network.read(x);
      if (isReported) entries.push({ ...entry, activations: this.activations(units) });
      if (performance.now() < end) continue;
      yield entries;
      entries = [];
      end = performance.now() + PIECE_MS;
    }
    yield entries;
  }

  /** Return a function that samples a character by a uniform number; its result is used before the next call. */
  createSampler(settings) {
    const { network, sampling } = this, logits = new Float32Array(this.p.length), p = new Float64Array(this.p.length);
    const setProbabilities = createSampling(sampling, settings), without = 1 - settings.ngram_weight;
    return (uniform) => {
      for (let k = 0; k < p.length; k++) logits[k] = network.logits[k] - without * network.counting[k];
      setProbabilities(logits, p);
      return { x: sampleIndex(p, uniform), p };
    };
  }

  /** Return the entry of a character; the first of a text has no probability. `sampling` has the sampling probabilities. */
  describe(x, hasProbability, sampling = null) {
    const { model: { characters }, network: { logits }, p } = this, character = characters[x];
    if (!hasProbability) return { character, probability: null, bits: null, sampling: null, alternatives: [] };
    const bits = (softmax(logits, 1, p) - logits[x]) / Math.LN2;
    if (!Number.isFinite(bits)) throw new Error("the output of the network is not finite");
    const likely = [];
    for (let k = 0; k < p.length; k++) {
      if (likely.length === ALTERNATIVES && p[k] <= p[likely.at(-1)]) continue;
      let place = likely.length;
      while (place > 0 && p[k] > p[likely[place - 1]]) place--;
      likely.splice(place, 0, k);
      if (likely.length > ALTERNATIVES) likely.pop();
    }
    const sampled = (k) => sampling && sampling[k];
    return { character, probability: p[x], bits, sampling: sampled(x), alternatives: likely.map((k) => [characters[k], p[k], sampled(k)]) };
  }

  /** Return the bytes of the activations of units; of a cell state, of its tanh. */
  activations(units) {
    const { network: { state }, isCellState } = this, codes = new Uint8Array(units.length);
    for (let i = 0; i < codes.length; i++) {
      const value = state[units[i]];
      codes[i] = quantize(isCellState[units[i]] ? Math.tanh(value) : value);
    }
    return codes;
  }
}

let inspector = null, task = null;

/** Load the model in `bytes` or packed in `text`: a line of JSON that describes it, and its arrays. */
async function load({ bytes, text, sampling }) {
  const packed = bytes ?? await decodeBytes(text), end = new Uint8Array(packed).indexOf("\n".charCodeAt(0));
  const { arrays, ...model } = JSON.parse(new TextDecoder().decode(packed.slice(0, end)));
  const restored = restoreArrays(arrays, packed, end + 1, (progress) => postMessage({ progress }));
  inspector = new Inspector(model, sampling, restored);
  postMessage({ model });
}

function advance(name, body) {
  if (name) task = inspector[name](body);
  const { value, done } = task.next();
  postMessage(done ? { entries: [], end: value } : { entries: value });
}

addEventListener("message", ({ data: message }) => {
  if (message.sampling) load(message).catch(reportError);
  else advance(message.name, message.body);
});
