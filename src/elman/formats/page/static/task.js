/* Running one task at a time, which can be stopped, and reporting its status. */

import { byId } from "../dom.js";

/** An error whose message the user can read; its `remedy` may be a button that resolves it. */
export class UserError extends Error {}

export class TaskRunner {
  /** `onChange` is called when a task starts or ends. */
  constructor(onChange) {
    Object.assign(this, { onChange, current: null });
  }

  get isRunning() { return this.current !== null; }

  /** Run `task(signal)` instead of the current one; what it returns is the status shown in a tab afterwards. */
  async run(tab, status, task) {
    this.stop();
    const controller = this.current = new AbortController(), isCurrent = () => this.current === controller;
    this.onChange();
    setStatus(tab, status);
    try {
      const result = await task(controller.signal);
      if (isCurrent()) setStatus(tab, result);
    } catch (error) {
      if (isCurrent()) showError(tab, error);
    } finally {
      if (isCurrent()) {
        this.current = null;
        this.onChange();
      }
    }
  }

  stop() { this.current?.abort(); }

  /** Stop without reporting it. */
  discard() {
    this.stop();
    this.current = null;
  }
}

/** Set the status of a tab, optionally followed by a button that resolves an error. */
export function setStatus(tab, text, isError = false, remedy = null) {
  const status = byId(`${tab}-status`);
  status.textContent = text;
  status.classList.toggle("error", isError);
  if (remedy) status.append(" ", remedy);
}

export function showError(tab, error) {
  if (error.name === "AbortError") setStatus(tab, "Stopped.");
  else if (error instanceof UserError) setStatus(tab, error.message, true, error.remedy);
  else {
    setStatus(tab, "Unexpected error. Reload the page.", true);
    throw error;
  }
}
