// The generated samples, the latest first.

import { scale } from "./chart.js";
import { createElement, formatCount, formatLoss, makeVisible } from "./format.js";

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

function createItem({ update, text, asked: isRequested }, run, unit) {
  const item = createElement("li", "", isRequested ? "requested" : "");
  const head = createElement("p", "", "sample-head tabular");
  const origin = update ? `update ${formatCount(update)}` : "untrained network";
  head.append(createElement("span", `${origin}${isRequested ? ", requested" : ""}`));
  const loss = run.trainLossAt(update);
  if (loss != null) head.append(createElement("span", `train loss ${formatLoss(loss * scale(run, unit), unit)}`));
  const body = createElement("pre", makeVisible(text));
  body.translate = false;
  item.append(head, body);
  return item;
}
