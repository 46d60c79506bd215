/* The legend of the colours of a text. */

import { byId, create } from "./dom.js";

/** Show the colours from the lowest to the highest, the values at equal distances below them, and what they mean. */
export function showLegend(colours, ticks, note) {
  const parts = colours.map((colour) => create("i"));
  parts.forEach((part, i) => { part.style.background = colours[i]; });
  byId("scale").hidden = !colours.length;
  byId("scale").replaceChildren(...parts);
  byId("ticks").replaceChildren(...ticks.map((tick) => create("span", { textContent: tick })));
  byId("scale-note").textContent = note;
}
