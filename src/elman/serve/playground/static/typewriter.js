/* Characters come faster than they can be watched: here they wait. */

import { pace } from "./settings.js";

const LONGEST = 0.25; // seconds that count between two frames: a page in the background draws none

/** Give places to `append`, as many a second as is wanted; `done` resolves when the last is given, or all is stopped. */
export function reveal(signal, append) {
  const queue = [];
  let ended = false, due = 0, before = null;
  const done = new Promise((resolve) => {
    const frame = (now) => {
      const seconds = Math.min(LONGEST, (now - (before ?? now)) / 1000);
      before = now;
      due = pace() ? Math.min(due, 1) + pace() * seconds : Infinity;
      const places = signal.aborted ? [] : queue.splice(0, Math.floor(Math.min(due, queue.length)));
      due -= places.length;
      if (places.length) append(places);
      if (signal.aborted || (ended && !queue.length)) resolve();
      else requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  return { add: (places) => queue.push(...places), end: () => { ended = true; }, done };
}
