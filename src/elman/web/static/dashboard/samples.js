// The generated samples, the latest first.

import { makeVisible } from "../character.js";
import { create } from "../dom.js";
import { formatCount, formatLoss } from "../format.js";
import { scale } from "./chart.js";

const MAX_SAMPLES = 200;

/** Show the samples of a run, each with the train loss there; those that are shown already stay. */
export function showSamples(section, run, unit) {
  const list = section.querySelector("ol");
  const key = `${run.number} ${run.session} ${unit}`;
  if (list.dataset.shown !== key) {
    list.replaceChildren();
    list.dataset.shown = key;
    list.dataset.count = 0;
  }
  const news = run.samples.slice(Number(list.dataset.count));
  list.dataset.count = run.samples.length;
  for (const sample of news) list.prepend(createItem(sample, run, unit));
  while (list.children.length > MAX_SAMPLES) list.lastChild.remove();
  const omitted = run.sampleCount - list.children.length;
  const note = section.querySelector(".note");
  note.textContent = run.sampleCount ? `The latest ${formatCount(list.children.length)} of ${formatCount(run.sampleCount)}.` : "None yet.";
  note.hidden = run.sampleCount > 0 && omitted <= 0;
}

function createItem({ update, text, requested }, run, unit) {
  const origin = update ? `update ${formatCount(update)}` : "untrained network";
  const head = create("p", { className: "sample-head tabular" }, create("span", {}, `${origin}${requested ? ", requested" : ""}`));
  const loss = run.trainLossAt(update);
  if (loss != null) head.append(create("span", {}, `train loss ${formatLoss(loss * scale(run, unit), unit)}`));
  const body = create("pre", { translate: false }, makeVisible(text));
  return create("li", { className: requested ? "requested" : "" }, head, body);
}
