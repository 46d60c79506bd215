/* Showing generated text at a readable speed: entries wait here until it is their turn. */

import { byId } from "../dom.js";

/**
 * Pass entries on to `append` at the selected speed. `add` queues entries and `end` is called after the last; `done`
 * resolves when all are shown, or when the signal aborts.
 */
export function startTypewriter(signal, append) {
  const queue = [];
  let isEnded = false;
  const run = async () => {
    for (let due = 0, before = null; !signal.aborted && (!isEnded || queue.length);) {
      const now = await new Promise(requestAnimationFrame), speed = Number(byId("speed").value);
      due = speed ? Math.min(due, 1) + speed * (now - (before ?? now)) / 1000 : Infinity; // a speed of 0 shows them as they arrive
      before = now;
      const entries = signal.aborted ? [] : queue.splice(0, Math.floor(Math.min(due, queue.length)));
      due -= entries.length;
      if (entries.length) append(entries);
    }
  };
  return { add: (entries) => queue.push(...entries), end: () => { isEnded = true; }, done: run() };
}
