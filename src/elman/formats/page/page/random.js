/* The random numbers of numpy.random.default_rng(seed): a SeedSequence, and the generator PCG64. */

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
