/* What the page waits for, one thing at a time; it can be stopped, and how it went is said in words. */

import { Trouble } from "./api.js";

const byId = (id) => document.getElementById(id);

export class Work {
  /** `changed` is called when something begins or ends, `failed` when it comes to nothing. */
  constructor(changed, failed) {
    Object.assign(this, { changed, failed, now: null });
  }

  get going() { return this.now !== null; }

  /** Do `job(signal)` in the place of what is being done; what it returns is said under the tab `where`. */
  async run(where, words, job) {
    this.stop();
    const mine = this.now = new AbortController(), isLast = () => this.now === mine;
    this.changed();
    say(where, words);
    try {
      const result = await job(mine.signal);
      if (isLast()) say(where, result);
    } catch (error) {
      if (!isLast()) return;
      tell(where, error);
      this.failed(where, error);
    } finally {
      if (isLast()) {
        this.now = null;
        this.changed();
      }
    }
  }

  stop() { this.now?.abort(); }

  /** Stop, and say nothing of it. */
  drop() {
    this.stop();
    this.now = null;
  }
}

/** Say something under a tab, and perhaps a button behind it. */
export function say(where, words, trouble = false, remedy = null) {
  const status = byId(`${where}-status`);
  status.textContent = words;
  status.classList.toggle("trouble", trouble);
  if (remedy) status.append(" ", remedy);
}

/** Say what went wrong. */
export function tell(where, error) {
  if (error.name === "AbortError") say(where, "Stopped.");
  else if (error instanceof Trouble) say(where, error.message, true, error.remedy);
  else {
    say(where, "The page has failed: load it again.", true);
    throw error;
  }
}
