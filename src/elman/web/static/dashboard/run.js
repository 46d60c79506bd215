// A run as far as this page knows it. Requests say what the page has already: the server keeps no state about clients.

const CURVES = ["train_loss", "validation_loss"];
const MAX_SPEEDS = 200; // points for which the speed is computed

const emptyCurve = () => ({ update: [], seconds: [], value: [], count: 0 });

export class Run {
  constructor(number, { name, live }) {
    Object.assign(this, { number, name, live, isShown: true, about: null, status: {}, due: 0 });
    Object.assign(this, { histograms: [], isFinal: false, isLost: false });
    this.reset("");
  }

  reset(session) {
    this.session = session;
    for (const curve of CURVES) this[curve] = emptyCurve();
    this.samples = [];
    this.sampleCount = 0;
    this.discardDetail();
  }

  /** Discard the details of a zoomed range, and ignore those that are on their way. */
  discardDetail() {
    this.detail = this.pendingDetail = null;
  }

  get settings() {
    return this.about?.config ?? {};
  }

  get charsPerUpdate() {
    return (this.settings.batch_size ?? 1) * (this.settings.seq_length ?? 1);
  }

  /** Whether the server has downsampled the curve. */
  get isDownsampled() {
    return this.train_loss.update.length < this.train_loss.count;
  }

  /** Fetch what is new, and return whether there is anything. */
  async fetchNews() {
    const { session, train_loss: train, validation_loss: validation, sampleCount: samples } = this;
    const cursor = new URLSearchParams({ session, smooth_loss: train.count, validation_loss: validation.count, samples });
    const news = await fetchJson(`/api/runs/${this.number}?${cursor}`);
    this.status = news.status;
    if (news.session !== session) {
      this.reset(news.session); // another run, or the same one resumed from an earlier update
      this.about = news.about;
      if (train.count + validation.count + samples) return this.fetchNews();
    }
    for (const curve of CURVES) merge(this[curve], news[curve]);
    this.samples.push(...news.samples.new);
    this.sampleCount = news.samples.count;
    return CURVES.some((curve) => news[curve].update.length) || news.samples.new.length > 0;
  }

  async fetchHistograms() {
    this.histograms = (await fetchJson(`/api/runs/${this.number}/histograms`)).histograms;
  }

  /** Fetch the curves from one update to another in full detail. */
  async fetchDetail(first, last) {
    const request = (this.pendingDetail = {});
    const detail = await fetchJson(`/api/runs/${this.number}/between?${new URLSearchParams({ first, last })}`);
    if (this.pendingDetail === request && detail.session === this.session) this.detail = detail;
  }

  /** The train loss at an update, undefined before the first row. */
  trainLossAt(update) {
    return this.train_loss.value[this.train_loss.update.findLastIndex((each) => each <= update)];
  }

  /** The points of a curve, with the details of the zoomed range in place of downsampled points. */
  points(curve) {
    const coarse = this[curve];
    const fine = this.detail?.[curve];
    if (!fine?.update.length) return coarse;
    const before = coarse.update.findIndex((update) => update >= fine.update[0]);
    const after = coarse.update.findIndex((update) => update > fine.update.at(-1));
    const combine = (name) => [
      ...(before < 0 ? coarse[name] : coarse[name].slice(0, before)),
      ...fine[name],
      ...(after < 0 ? [] : coarse[name].slice(after)),
    ];
    return { update: combine("update"), seconds: combine("seconds"), value: combine("value") };
  }

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

/** Replace the points of a curve from an update on by new ones. */
function merge(curve, news) {
  const first = curve.update.findIndex((update) => update >= news.since);
  const length = first < 0 ? curve.update.length : first;
  for (const name of ["update", "seconds", "value"]) {
    curve[name].length = length;
    curve[name].push(...news[name]);
  }
  curve.count = news.count;
}

export async function fetchJson(address, options = {}) {
  const response = await fetch(address, { ...options, signal: AbortSignal.timeout(10_000) });
  const content = await response.json();
  if (!response.ok) throw new Error(content.error?.message ?? response.statusText);
  return content;
}

/** Send a command to the training process. */
export const postCommand = (name) =>
  fetchJson(`/api/${name}`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
