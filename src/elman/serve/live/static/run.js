// A run as far as this page knows it. The server keeps nothing about the page: what is asked for says what is known.

const CURVES = ["rows", "scores", "speeds"];

const empty = () => ({ update: [], seconds: [], value: [], count: 0 });

export class Run {
  constructor(number, { name, live }) {
    Object.assign(this, { number, name, live, shown: true, about: null, status: {}, due: 0 });
    Object.assign(this, { histograms: [], over: false, lost: false });
    this.forget("");
  }

  forget(session) {
    this.session = session;
    for (const curve of CURVES) this[curve] = empty();
    this.texts = [];
    this.textCount = 0;
    this.overlook();
  }

  /** Forget what is known in all detail, and heed no more what is on its way. */
  overlook() {
    this.detail = this.looking = null;
  }

  get settings() {
    return this.about?.config ?? {};
  }

  /** Characters that one update reads. */
  get characters() {
    return (this.settings.batch_size ?? 1) * (this.settings.seq_length ?? 1);
  }

  /** Whether the server has thinned the curve. */
  get thinned() {
    return this.rows.update.length < this.rows.count;
  }

  /** Ask for what is new; whether anything is. */
  async ask() {
    const { session, rows, scores, textCount } = this;
    const known = new URLSearchParams({ session, rows: rows.count, scores: scores.count, samples: textCount });
    const news = await fetched(`/api/runs/${this.number}?${known}`);
    this.status = news.status;
    if (news.session !== session) {
      this.forget(news.session); // another run, or the same from an earlier update on
      this.about = news.about;
      if (rows.count + scores.count + textCount) return this.ask();
    }
    for (const curve of CURVES) merge(this[curve], news[curve]);
    this.texts.push(...news.samples.new);
    this.textCount = news.samples.count;
    return news.rows.update.length > 0 || news.scores.update.length > 0 || news.samples.new.length > 0;
  }

  /** Ask for the weights and the hidden states. */
  async weigh() {
    this.histograms = (await fetched(`/api/runs/${this.number}/histograms`)).histograms;
  }

  /** Ask for the curves from one update to another in all detail. */
  async look(first, last) {
    const mine = (this.looking = {});
    const found = await fetched(`/api/runs/${this.number}/between?${new URLSearchParams({ first, last })}`);
    if (this.looking === mine && found.session === this.session) this.detail = found;
  }

  /** The points of a curve: those in detail in the place of the thinned ones, where there are any. */
  points(curve) {
    const thin = this[curve];
    const fine = curve === "speeds" ? null : this.detail?.[curve];
    if (!fine?.update.length) return thin;
    const before = thin.update.findIndex((update) => update >= fine.update[0]);
    const after = thin.update.findIndex((update) => update > fine.update.at(-1));
    const whole = (name) => [
      ...(before < 0 ? thin[name] : thin[name].slice(0, before)),
      ...fine[name],
      ...(after < 0 ? [] : thin[name].slice(after)),
    ];
    return { update: whole("update"), seconds: whole("seconds"), value: whole("value") };
  }
}

/** Put new points in the place of those from an update on. */
function merge(curve, news) {
  const at = curve.update.findIndex((update) => update >= news.since);
  const kept = at < 0 ? curve.update.length : at;
  for (const name of ["update", "seconds", "value"]) {
    curve[name].length = kept;
    curve[name].push(...news[name]);
  }
  curve.count = news.count;
}

export async function fetched(address, options = {}) {
  const response = await fetch(address, { ...options, signal: AbortSignal.timeout(10_000) });
  const content = await response.json();
  if (!response.ok) throw new Error(content.error?.message ?? response.statusText);
  return content;
}

/** Ask for something of the training. */
export const wish = (name) =>
  fetched(`/api/${name}`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
