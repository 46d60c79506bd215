// The texts that the network has written, the latest first.

import { scale } from "./chart.js";
import { counted, element, loss, visible } from "./format.js";

const MOST = 200;

/** Show the texts of a run, with its smooth loss in a unit; those that are shown already stay. */
export function showTexts(section, run, unit) {
  const list = section.querySelector("ol");
  const shown = `${run.number} ${run.session} ${unit}`;
  if (list.dataset.shown !== shown) {
    list.replaceChildren();
    list.dataset.shown = shown;
    list.dataset.count = 0;
  }
  const fresh = run.texts.slice(Number(list.dataset.count));
  list.dataset.count = run.texts.length;
  for (const text of fresh) list.prepend(item(text, scale(run, unit, true), unit));
  while (list.children.length > MOST) list.lastChild.remove();
  const left = run.textCount - list.children.length;
  const note = section.querySelector(".note");
  note.textContent = run.textCount ? `The latest ${counted(list.children.length)} of ${counted(run.textCount)}.` : "None yet.";
  note.hidden = run.textCount > 0 && left <= 0;
}

function item({ update, smooth_loss: smooth, text, asked }, factor, unit) {
  const made = element("li", "", asked ? "asked" : "");
  const at = element("p", "", "at figures");
  at.append(element("span", `${update ? `update ${counted(update)}` : "before the first update"}${asked ? ", as you asked" : ""}`));
  if (smooth != null) at.append(element("span", `smooth loss ${loss(smooth * factor, unit)}`));
  const written = element("pre", visible(text));
  written.translate = false;
  made.append(at, written);
  return made;
}
