// A run as far as this page knows it.

const MAX_SPEEDS = 200; // points for which the speed is computed

const emptyCurve = () => ({ update: [], seconds: [], value: [] });

export class Run {
  constructor(number, { name, live }) {
    Object.assign(this, { number, name, live, isShown: true, version: "", about: {}, status: {}, histograms: [] });
    Object.assign(this, { train_loss: emptyCurve(), validation_loss: emptyCurve(), samples: { count: 0, latest: [] } });
  }

  get settings() { return this.about.config ?? {}; }

  get charsPerUpdate() { return (this.settings.batch_size ?? 1) * (this.settings.seq_length ?? 1); }

  /** Fetch the status, and everything else unless the page has this version of it. Return whether it is new. */
  async fetch() {
    const { version } = this, query = new URLSearchParams({ version });
    Object.assign(this, await fetchJson(`/api/runs/${this.number}?${query}`));
    return this.version !== version;
  }

  async fetchHistograms() { Object.assign(this, await fetchJson(`/api/runs/${this.number}/histograms`)); }

  /** The train loss at an update, undefined before the first row. */
  trainLossAt(update) { return this.train_loss.value[this.train_loss.update.findLastIndex((each) => each <= update)]; }

  /** The characters per second between the points of the train loss, or between every few of them. */
  speeds() {
    const { update, seconds } = this.train_loss, speeds = emptyCurve();
    const step = Math.ceil(update.length / MAX_SPEEDS);
    for (let from = 0, to; from < update.length - 1; from = to) {
      to = Math.min(from + step, update.length - 1);
      const elapsed = seconds[to] - seconds[from];
      if (elapsed <= 0) continue;
      speeds.update.push(update[to]);
      speeds.seconds.push(seconds[to]);
      speeds.value.push((update[to] - update[from]) * this.charsPerUpdate / elapsed);
    }
    return speeds;
  }
}

export async function fetchJson(address, options = {}) {
  const response = await fetch(address, { ...options, signal: AbortSignal.timeout(10_000) });
  const content = await response.json();
  if (!response.ok) throw new Error(content.error?.message ?? response.statusText);
  return content;
}
