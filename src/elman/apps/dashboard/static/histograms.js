// Histograms of every array: one small outline each.

import { create } from "../dom.js";

const TITLES = {
  U: "input to hidden", W: "hidden to hidden", V: "hidden to output", b: "hidden bias", c: "output bias", d: "reset bias",
  h: "hidden state", s: "cell state", alpha: "weights of the n-gram prior",
};
const SVG = "http://www.w3.org/2000/svg";

/** Return the title of an array: U2 is input to hidden, layer 2. */
function describe(name) {
  const [, symbol, layer] = name.match(/^(.*?)(\d*)$/);
  return `${TITLES[symbol] ?? ""}${layer ? `, layer ${layer}` : ""}`;
}

/** Show the histograms of a run. */
export function showHistograms(div, { histograms }) {
  div.replaceChildren(...histograms.map(({ name, low, high, counts }) => {
    const title = create("figcaption", {}, create("b", {}, name), ` ${describe(name)}`);
    const ends = [low, high].map((value) => create("span", {}, String(Number(value.toPrecision(2))).replace("-", "−")));
    const figure = create("figure", {}, title, createOutline(counts), create("p", { className: "ends tabular" }, ...ends));
    figure.classList.toggle("state", "hs".includes(name[0]));
    return figure;
  }));
}

/** Return the outline of a histogram, a unit wide per bin and a unit high. */
function createOutline(counts) {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  const highest = Math.max(...counts), steps = counts.map((count) => `V${1 - count / highest}h1`);
  svg.setAttribute("viewBox", `0 0 ${counts.length} 1`);
  svg.setAttribute("preserveAspectRatio", "none");
  path.setAttribute("d", `M0 1${steps.join("")}V1z`);
  svg.append(path);
  return svg;
}
