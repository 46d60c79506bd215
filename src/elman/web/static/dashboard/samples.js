// The generated samples, the latest first.

import { makeVisible } from "../character.js";
import { create } from "../dom.js";
import { formatCount, formatLoss } from "../format.js";
import { scale } from "./chart.js";

const MAX_SAMPLES = 200;

/** Show the samples of a run, each with the train loss there, unless they are shown already. */
export function showSamples(section, run, unit) {
  const list = section.querySelector("ol"), note = section.querySelector(".note"), { samples, sampleCount } = run;
  const key = `${run.number} ${run.session} ${unit} ${sampleCount}`;
  if (list.dataset.shown === key) return;
  list.dataset.shown = key;
  list.replaceChildren(...samples.slice(-MAX_SAMPLES).reverse().map((sample) => createItem(sample, run, unit)));
  const shown = list.children.length;
  note.textContent = sampleCount ? `The latest ${formatCount(shown)} of ${formatCount(sampleCount)}.` : "None yet.";
  note.hidden = sampleCount > 0 && sampleCount <= shown;
}

function createItem({ update, text, requested }, run, unit) {
  const origin = update ? `update ${formatCount(update)}` : "untrained network";
  const head = create("p", { className: "sample-head tabular" }, create("span", {}, `${origin}${requested ? ", requested" : ""}`));
  const loss = run.trainLossAt(update);
  if (loss != null) head.append(create("span", {}, `train loss ${formatLoss(loss * scale(run, unit), unit)}`));
  const body = create("pre", { translate: false }, makeVisible(text));
  return create("li", { className: requested ? "requested" : "" }, head, body);
}
