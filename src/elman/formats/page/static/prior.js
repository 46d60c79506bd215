/*
 * The n-gram prior: the distribution q after the last characters. `elman.ngram.model` defines it, and
 * `elman.ngram.table` the packed table that it is read from.
 */

const CODE_BITS = 4, LARGE = 15, NONE = -1;
const COUNTS = Array.from({ length: 256 }, (_, code) => (code < 8 ? code : (8 + (code & 7)) * 2 ** ((code >> 3) - 1)));
const MIN_PROBABILITY = 1e-7;

/** Return the first numbers of packed fields, which are read from words of 32 bits. */
function unpack(words, width, length) {
  const Numbers = width <= 8 ? Uint8Array : width <= 16 ? Uint16Array : Uint32Array;
  const numbers = new Numbers(length), mask = 2 ** width - 1;
  for (let i = 0, bit = 0; i < length; i++, bit += width) {
    const word = bit >>> 5, shift = bit & 31;
    const high = shift ? words[word + 1] << (32 - shift) : 0;
    numbers[i] = ((words[word] >>> shift) | high) & mask;
  }
  return numbers;
}

/** Return the first child of each context, and the number of nodes, from a zero for each child and a one at the end. */
function findFirstChildren(words, contexts) {
  const firsts = new Uint32Array(contexts + 1);
  firsts[0] = 1;
  for (let context = 0, bit = 0; context < contexts; bit++) {
    if ((words[bit >>> 5] >>> (bit & 31)) & 1) firsts[++context] = bit - context + 2;
  }
  return firsts;
}

export class NgramPrior {
  /** `discounts` has a row of three per length of context; the arrays of the table are words of 32 bits. */
  constructor({ order, nodes, contexts, discounts, resetAt, K }, { strings, rests, children, large }) {
    this.symbolBits = Math.max(1, 32 - Math.clz32(K - 1));
    Object.assign(this, { K, contextLength: order - 1, contexts, resetAt, logQ: new Float32Array(K), q: new Float64Array(K) });
    const mask = 2 ** this.symbolBits - 1, codes = unpack(large.values, 8, large.values.length * 4 - 8);
    let read = 0;
    const decode = (code) => (code === LARGE ? codes[read++] : code);
    this.strings = new Uint32Array(unpack(strings.values, this.symbolBits + CODE_BITS, nodes - 1)).map( // of node n at n - 1
      (string) => (decode(string >>> this.symbolBits) << this.symbolBits) | (string & mask));
    this.rests = unpack(rests.values, CODE_BITS, contexts).map(decode);
    this.firsts = findFirstChildren(children.values, contexts);
    /** What the discounts leave of the weight of each code, by length of context. */
    this.kept = discounts.map((row) => COUNTS.map((count) => Math.max(count - (count && row[Math.min(count, 3) - 1]), 0)));
    this.bases = new Int32Array(order); // the nodes of the contexts that end the text, by length
  }

  /** Start a text, which follows a line feed if the state is reset there. */
  start(lineFeed) {
    this.bases.fill(NONE);
    this.bases[0] = 0;
    if (lineFeed !== null) this.append(lineFeed);
  }

  append(x) {
    for (let o = this.contextLength - 1; o >= 0; o--) {
      this.bases[o + 1] = o > 0 && x === this.resetAt ? NONE : this.findChild(this.bases[o], x);
    }
  }

  /** Return the node of a context with one more character, or -1. */
  findChild(base, x) {
    if (base < 0 || base >= this.contexts) return NONE;
    const mask = 2 ** this.symbolBits - 1, end = this.firsts[base + 1];
    let low = this.firsts[base], high = end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.strings[middle - 1] & mask) < x) low = middle + 1;
      else high = middle;
    }
    return low < end && (this.strings[low - 1] & mask) === x ? low : NONE;
  }

  /** Set `logQ` to log q after what was appended, and return the matched length. */
  predict() {
    const { K, q, logQ, strings, firsts, rests, symbolBits } = this, mask = 2 ** symbolBits - 1;
    let matched = 0;
    q.fill(1 / K);
    for (let o = 0; o <= this.contextLength; o++) {
      const base = this.bases[o];
      if (base < 0 || base >= this.contexts || firsts[base] === firsts[base + 1]) break;
      const kept = this.kept[o];
      let total = COUNTS[rests[base]], sum = 0;
      for (let node = firsts[base]; node < firsts[base + 1]; node++) {
        const code = strings[node - 1] >>> symbolBits;
        total += COUNTS[code];
        sum += kept[code];
      }
      const rest = 1 - sum / total;
      for (let k = 0; k < K; k++) q[k] *= rest;
      for (let node = firsts[base]; node < firsts[base + 1]; node++) {
        q[strings[node - 1] & mask] += kept[strings[node - 1] >>> symbolBits] / total;
      }
      matched = o;
    }
    for (let k = 0; k < K; k++) logQ[k] = Math.log(Math.max(q[k], MIN_PROBABILITY));
    return matched;
  }
}
