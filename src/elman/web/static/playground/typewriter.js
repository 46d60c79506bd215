/* Showing generated text at a readable speed: entries wait here until it is their turn. */

import { byId } from "../dom.js";

/**
 * Pass entries on to `append` at the selected speed. `add` queues entries and `end` is called after the last; `done`
 * resolves when all are shown, or when the signal aborts.
 */
export function startTypewriter(signal, append) {
  const queue = [];
  let isEnded = false, due = 0, before = null;
  const done = new Promise((resolve) => {
    const onFrame = (now) => {
      const seconds = (now - (before ?? now)) / 1000;
      const speed = Number(byId("speed").value); // characters per second; 0 shows them as they arrive
      before = now;
      due = speed ? Math.min(due, 1) + speed * seconds : Infinity;
      const entries = signal.aborted ? [] : queue.splice(0, Math.floor(Math.min(due, queue.length)));
      due -= entries.length;
      if (entries.length) append(entries);
      if (signal.aborted || (isEnded && !queue.length)) resolve();
      else requestAnimationFrame(onFrame);
    };
    requestAnimationFrame(onFrame);
  });
  return { add: (entries) => queue.push(...entries), end: () => { isEnded = true; }, done };
}
