/* Sampling the next character, as `elman.network.sampling` defines it. */

/**
 * The filters, in the order in which they are applied. Each gets the probabilities in descending order, and the value
 * of its option; it sets those that it excludes to 0.
 */
const FILTERS = {
  top_k: (p, count) => p.fill(0, count),
  top_p: (p, sum) => p.fill(0, findSum(p, sum) + 1),
  min_p: (p, fraction) => {
    const least = fraction * p[0];
    p.forEach((value, i) => { if (value < least) p[i] = 0; });
  },
  typical_p: (p, sum) => {
    const kept = [...p.keys()].filter((i) => p[i] > 0), total = p.reduce((a, b) => a + b, 0);
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
    const total = sorted.reduce((a, b) => a + b, 0);
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
