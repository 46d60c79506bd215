/*
 * Sampling the next character, as `elman.network.sampling` defines it, with the random numbers of
 * numpy.random.default_rng(seed): a SeedSequence, and the generator PCG64.
 */

/**
 * The filters, in the order in which they are applied. Each gets the probabilities in descending order, and the value
 * of its option; it sets those that it excludes to 0.
 */
const FILTERS = {
  top_k: (p, count) => p.fill(0, count),
  top_p: (p, fraction) => p.fill(0, findSum(p, fraction * findTotal(p)) + 1),
  min_p: (p, fraction) => {
    const least = fraction * p[0];
    p.forEach((value, i) => { if (value < least) p[i] = 0; });
  },
  typical_p: (p, sum) => {
    const kept = [...p.keys()].filter((i) => p[i] > 0), total = findTotal(p);
    const surprisal = kept.map((i) => -Math.log(p[i] / total));
    const entropy = kept.reduce((mean, i, n) => mean + (p[i] / total) * surprisal[n], 0);
    const distances = surprisal.map((each) => Math.round(1e6 * Math.abs(each - entropy)));
    const nearest = [...kept.keys()].sort((a, b) => distances[a] - distances[b]).map((n) => kept[n]);
    const last = findSum(nearest.map((i) => p[i] / total), sum);
    for (const i of nearest.slice(last + 1)) p[i] = 0;
  },
};

/** Options that are no filters. */
const OTHERS = ["temperature", "ngram_weight"];

function findTotal(numbers) {
  return numbers.reduce((a, b) => a + b, 0);
}

/** Return the first position at which the sum of the numbers up to it reaches a number. */
function findSum(numbers, sum) {
  let total = 0;
  const found = numbers.findIndex((number) => (total += number) >= sum);
  return found < 0 ? numbers.length : found;
}

/** Set `p` to softmax(logits / temperature), and return the logarithm of the sum of their exponentials. */
export function softmax(logits, temperature, p) {
  let largest = -Infinity, total = 0;
  for (let k = 0; k < p.length; k++) if (logits[k] > largest) largest = logits[k];
  for (let k = 0; k < p.length; k++) total += p[k] = Math.exp((logits[k] - largest) / temperature);
  for (let k = 0; k < p.length; k++) p[k] /= total;
  return largest / temperature + Math.log(total);
}

/**
 * Return a function that sets `p` to the distribution that is sampled from, given logits. `options` lists the sampling
 * options with their defaults, `settings` has their values.
 */
export function createSampling(options, settings) {
  const filters = options.filter(({ name }) => !OTHERS.includes(name));
  for (const { name } of filters) if (!(name in FILTERS)) throw new Error(`no filter for the option ${name}`);
  const used = filters.filter(({ name, default: value }) => settings[name] !== value);
  return (logits, p) => {
    if (settings.temperature === 0) {
      p.fill(0);
      p[logits.indexOf(logits.reduce((a, b) => Math.max(a, b)))] = 1;
      return;
    }
    softmax(logits, settings.temperature, p);
    if (!used.length) return;
    const descending = [...p.keys()].sort((a, b) => logits[b] - logits[a]);
    const sorted = descending.map((k) => p[k]);
    for (const { name } of used) FILTERS[name](sorted, settings[name]);
    const total = findTotal(sorted);
    descending.forEach((k, i) => { p[k] = sorted[i] / total; });
  };
}

/** Return the first character whose cumulative probability exceeds a uniform number. */
export function sampleIndex(p, uniform) {
  const target = uniform * p.reduce((a, b) => a + b, 0);
  let last = 0, cumulative = 0;
  for (let k = 0; k < p.length; k++) {
    cumulative += p[k];
    if (p[k] > 0) last = k;
    if (cumulative > target) return k;
  }
  return last;
}

// ---- Random numbers ----

const POOL = 4, MASK_64 = (1n << 64n) - 1n, MASK_128 = (1n << 128n) - 1n, MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

/** Return a function that hashes words one after the other, each with another constant. */
function createHash(constant, factor) {
  return (word) => {
    const before = constant;
    constant = Math.imul(constant, factor);
    const hashed = Math.imul(word ^ before, constant);
    return hashed ^ (hashed >>> 16);
  };
}

function mix(x, y) {
  const mixed = (Math.imul(x, 0xca01f9dd) - Math.imul(y, 0x4973f715)) | 0;
  return mixed ^ (mixed >>> 16);
}

/** Return four numbers of 64 bits for a seed, an integer from 0 to 2^53 - 1. */
function spreadSeed(seed) {
  const words = [seed >>> 0, Math.floor(seed / 2 ** 32)], pool = [];
  const absorb = createHash(0x43b0d7e5, 0x931e8875), emit = createHash(0x8b51f9dd, 0x58f38ded);
  for (let i = 0; i < POOL; i++) pool.push(absorb(words[i] ?? 0));
  for (let source = 0; source < POOL; source++) {
    for (let i = 0; i < POOL; i++) if (i !== source) pool[i] = mix(pool[i], absorb(pool[source]));
  }
  const halves = Array.from({ length: 2 * POOL }, (_, i) => BigInt(emit(pool[i % POOL]) >>> 0));
  return Array.from({ length: POOL }, (_, i) => halves[2 * i] | (halves[2 * i + 1] << 32n));
}

export class Generator {
  constructor(seed) {
    const [high, low, highStep, lowStep] = spreadSeed(seed);
    this.increment = ((((highStep << 64n) | lowStep) << 1n) | 1n) & MASK_128;
    this.state = (this.increment + ((high << 64n) | low)) & MASK_128;
    this.advance();
  }

  advance() {
    this.state = (this.state * MULTIPLIER + this.increment) & MASK_128;
  }

  /** Return the next number, uniform in [0, 1). */
  next() {
    this.advance();
    const folded = (this.state >> 64n) ^ (this.state & MASK_64), turn = this.state >> 122n;
    const bits = ((folded >> turn) | (folded << (64n - turn))) & MASK_64;
    return Number(bits >> 11n) / 2 ** 53;
  }
}
