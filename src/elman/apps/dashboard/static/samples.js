// The generated samples, the latest first.

import { makeVisible } from "../character.js";
import { create } from "../dom.js";
import { formatCount } from "../format.js";
import { formatRunLoss } from "./summary.js";

/** Show the samples of a run, each with the train loss there, unless they are shown already. */
export function showSamples(section, run, unit) {
  const list = section.querySelector("ol"), note = section.querySelector(".note"), { count, latest } = run.samples;
  const key = `${run.number} ${run.version} ${unit}`;
  if (list.dataset.shown === key) return;
  list.dataset.shown = key;
  list.replaceChildren(...latest.toReversed().map((sample) => createItem(sample, run, unit)));
  note.textContent = count ? `The latest ${formatCount(latest.length)} of ${formatCount(count)}.` : "None yet.";
  note.hidden = count > 0 && count === latest.length;
}

function createItem({ update, text, requested }, run, unit) {
  const origin = update ? `update ${formatCount(update)}` : "before training";
  const head = create("p", { className: "sample-head tabular" }, create("span", {}, `${origin}${requested ? ", requested" : ""}`));
  const loss = run.trainLossAt(update);
  if (loss != null) head.append(create("span", {}, `train loss ${formatRunLoss(run, loss, unit)}`));
  const body = create("pre", { translate: false }, makeVisible(text));
  return create("li", { className: requested ? "requested" : "" }, head, body);
}
