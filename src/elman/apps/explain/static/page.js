/* The page of `elman explain`: a text coloured by surprisal or by a hidden unit, and its selected character. */

import { dequantize } from "../bytes.js";
import { byId, create } from "../dom.js";
import { formatCharacters, formatCount, formatPercent, formatSigned } from "../format.js";
import { describeEntry, setBar, showEntry } from "../inspector.js";
import { showLegend } from "../legend.js";
import {
  STEPS_PER_BIT, arrays, contributionColour, data, decodeArray, entryAt, isKnown, loadArrays, priorView, surprisalView, unitView,
} from "./data.js";
import { Layout } from "./layout.js";

const text = byId("text"), canvas = text.querySelector("canvas"), cursor = byId("cursor");
let layout, view;
let underlined = null; // where the selected feature holds
let position = null; // of the selected character
let painted = { from: 0, to: 0 }, near = []; // what is painted, and its chunks
let latestRequest = 0; // for the activations of a unit

// ---- Painting ----

/** Paint what is in view and about one window above and below; unless forced, only where that is not painted yet. */
function paint(force) {
  const area = text.getBoundingClientRect(), top = Math.max(0, -area.top), bottom = Math.min(area.height, innerHeight - area.top);
  if (!view || (!force && top >= painted.from && bottom <= painted.to)) return;
  const scale = devicePixelRatio, height = Math.min(area.height, innerHeight * (scale > 2 ? 2 : 3));
  const from = Math.max(0, Math.min(area.height - height, (top + bottom - height) / 2)), to = from + height;
  painted = { from, to };
  resizeCanvas(Math.ceil(area.width * scale), Math.ceil(height * scale), scale);
  const offset = Math.round(from * scale) / scale;
  canvas.style.transform = `translateY(${offset}px)`;
  near = layout.chunksBetween(from + area.top, to + area.top);
  const { rectangles, lines } = collectBoxes();
  const pen = canvas.getContext("2d");
  const fill = (x, y, width, tall) => { // aligned to pixels, or seams would show between neighbours
    const left = Math.round(x * scale), up = Math.round((y - offset) * scale);
    pen.fillRect(left, up, Math.round((x + width) * scale) - left, Math.round((y - offset + tall) * scale) - up);
  };
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const leading = parseFloat(getComputedStyle(byId("rows")).lineHeight);
  view.colours.forEach((colour, level) => {
    pen.fillStyle = colour;
    for (const [x, y, width, tall] of rectangles[level]) fill(x, y - (leading - tall) / 2, width, leading);
  });
  pen.fillStyle = getComputedStyle(text).color;
  for (const [x, y, width, tall] of lines) fill(x, y + (leading + tall) / 2 - 2, width, 1.5);
}

function resizeCanvas(width, height, scale) {
  if (canvas.width === width && canvas.height === height) return;
  Object.assign(canvas, { width, height });
  canvas.style.width = `${width / scale}px`;
  canvas.style.height = `${height / scale}px`;
}

/** Return the boxes of the characters near the window: of those with each colour, and of the underlined ones. */
function collectBoxes() {
  const rectangles = view.colours.map(() => []), lines = [];
  for (const chunk of near) {
    const all = layout.measure(chunk);
    for (let i = 0, n = chunk.first; i < chunk.count; i++, n++) {
      const level = view.level(n), box = () => all.subarray(4 * i, 4 * i + 4);
      if (level !== view.plain) rectangles[level].push(box());
      if (underlined?.[n]) lines.push(box());
    }
  }
  return { rectangles, lines };
}

// ---- Views ----

function setView(next) {
  view = next;
  byId(`by-${view.kind}`).checked = true;
  if (view.unit !== null) byId("unit").value = view.unit;
  for (const button of document.querySelectorAll("[data-unit]")) {
    button.setAttribute("aria-pressed", view.unit !== null && Number(button.dataset.unit) === view.unit);
  }
  showLegend(view.colours, view.ticks, view.description);
  byId("scale").ariaLabel = `Colours from ${view.ticks[0]} to ${view.ticks.at(-1)}`;
  paint(true);
  if (position !== null) showPosition(position);
}

/** Show the view of the selected radio button, with its colours of the current theme. */
async function updateView() {
  const kind = document.querySelector("[name=by]:checked").value, request = ++latestRequest;
  if (kind !== "unit") return setView(kind === "prior" ? priorView() : surprisalView());
  const unit = Number(byId("unit").value), codes = await decodeArray(`unit-${unit}`);
  if (request === latestRequest) setView(unitView(unit, codes));
}

function showUnit(unit) {
  byId("by-unit").checked = true;
  byId("unit").value = unit;
  return updateView();
}

// ---- The selected character ----

/** Select a position, and show its character and predictions. */
function showPosition(n) {
  position = n;
  byId("hint").hidden = true;
  byId("selected").hidden = false;
  const original = data.replaced[n];
  showEntry(entryAt(n), `character ${formatCount(n + 1)}${original === undefined ? "" : `, replaces ${original}`}`);
  const output = byId("character").querySelector("output");
  output.hidden = view.unit === null;
  output.textContent = view.unit === null ? "" : formatSigned(dequantize(view.codes[n]));
  output.style.background = view.colours[view.level(n)];
  if (data.order) showOrigin(n);
  const box = layout.boxOf(n);
  cursor.hidden = false;
  cursor.style.transform = `translate(${box.left - 2}px, ${box.top - 2}px)`;
  cursor.style.width = `${Math.max(2, box.width) + 4}px`;
  cursor.style.height = `${box.height + 4}px`;
}

/** Return what counting alone predicts at a position in words; null where nothing precedes, or the character is unknown. */
function describeCounting(n) {
  if (n === arrays.firstKnown || !isKnown(n)) return null;
  const bits = arrays["prior-surprisal"][n] / STEPS_PER_BIT, matched = arrays["prior-matched"][n];
  const context = matched === 0 ? "no context known" : `longest context known: ${formatCharacters(matched)}`;
  return `Counting alone ${formatPercent(2 ** -bits)}, ${bits.toFixed(2)} bits; ${context}`;
}

/** Show what counting and network contribute to the selected character. */
function showOrigin(n) {
  const words = describeCounting(n);
  byId("origin").hidden = words === null;
  if (words === null) return;
  for (const name of ["counting", "network"]) {
    const bits = arrays[`prior-${name}`][n] / STEPS_PER_BIT, output = byId(`origin-${name}`);
    output.textContent = formatSigned(bits);
    output.style.background = contributionColour(name, bits);
  }
  byId("origin-alone").textContent = words;
}

/** Announce the selected character to screen readers. */
function announce(n) {
  const unit = view.unit === null ? "" : ` Activation ${formatSigned(dequantize(view.codes[n]))}.`;
  const counting = data.order ? describeCounting(n) : null;
  byId("announcement").textContent = `${describeEntry(entryAt(n))}${unit}${counting ? ` ${counting}.` : ""}`;
}

function onPointer(event) {
  const corner = text.getBoundingClientRect();
  const n = layout.findNearest(near, event.clientX - corner.left, event.clientY - corner.top);
  if (n !== null && n !== position) showPosition(n);
}

/** Return the position that a key moves to from the selected one, or null. */
function targetOf(key) {
  if (position === null) {
    return key.startsWith("Arrow") ? layout.findNearest(near, 0, 1 - text.getBoundingClientRect().top) : null;
  }
  const box = layout.boxOf(position), x = box.left + box.width / 2, middle = box.top + box.height / 2;
  switch (key) {
    case "ArrowLeft": return Math.max(0, position - 1);
    case "ArrowRight": return Math.min(data.chars - 1, position + 1);
    case "ArrowUp": return layout.findNearest(near, x, middle - box.height, (top) => top + box.height / 2 < box.top) ?? position;
    case "ArrowDown": return layout.findNearest(near, x, middle + box.height, (top) => top > middle) ?? position;
    case "Home": return layout.rowOf(position)[0];
    case "End": return layout.rowOf(position)[1];
    default: return null;
  }
}

function onKeyDown(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  const n = targetOf(event.key);
  if (n === null) return;
  event.preventDefault();
  showPosition(n);
  announce(n);
  cursor.scrollIntoView({ block: "nearest" });
}

// ---- Features of the text, and the units that track them ----

const fraction = (score, isBinary) => Math.max(0, isBinary ? 2 * score - 1 : score);

function fillBar(bar, { score, null_score: baseline }, isBinary) {
  setBar(bar, fraction(score, isBinary), fraction(baseline, isBinary));
  bar.parentElement.classList.toggle("below-baseline", score <= baseline);
}

const describeScore = ({ null_score: baseline, rises }, { isBinary }) =>
  `baseline ${baseline.toFixed(2)}; ${rises ? "blue" : "red"} where the feature ${isBinary ? "holds" : "is large"}`;

function createUnitButton(best, feature) {
  const bar = create("i", { className: "bar" }), { name, score, unit } = best;
  const button = create("button", { type: "button", title: describeScore(best, feature), disabled: unit === null },
    create("span", {}, name), bar, create("data", {}, score.toFixed(2)));
  fillBar(bar, best, feature.isBinary);
  if (unit !== null) {
    button.dataset.unit = unit;
    button.addEventListener("click", () => showUnit(unit));
  }
  return button;
}

/** Underline the text where a feature holds, or nothing. */
async function underline(feature) {
  underlined = feature === null ? null : await decodeArray(`feature-${feature}`);
  paint(true);
}

/** Show the details of a feature, its best unit, and where it holds. */
async function showDetails(n) {
  const feature = data.features[n], [best] = feature.best;
  const score = `${feature.isBinary ? "AUC" : "Rank correlation"} ${best.score.toFixed(2)}`;
  const details = [create("p", {}, feature.description), create("p", {}, `${score}; ${describeScore(best, feature)}.`)];
  if (feature.isBinary) {
    const box = create("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => underline(box.checked ? n : null));
    details.push(create("label", {}, box, "Underline where it holds"));
  }
  const buttons = feature.best.map((each) => createUnitButton(each, feature));
  byId(`details-${n}`).replaceChildren(...details, ...buttons);
  await underline(feature.isBinary ? n : null);
  const inPage = feature.best.find(({ unit }) => unit !== null);
  if (inPage) await showUnit(inPage.unit);
}

/** Fill the bars of the features, of which the page opens one at a time. */
function initFeatures() {
  let open = null;
  data.features.forEach(({ best, isBinary }, n) => {
    const details = byId(`choose-${n}`);
    if (!details) return; // the feature is too rare
    fillBar(details.querySelector(".bar"), best[0], isBinary);
    details.addEventListener("toggle", () => {
      const wasOpen = open === n;
      if (details.open || wasOpen) open = details.open ? n : null;
      if (details.open) showDetails(n);
      else if (wasOpen) underline(null);
    });
  });
}

// ---- Start ----

function addListeners() {
  let pending = null; // the latest move of the pointer, shown at the next frame
  text.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    if (!pending) requestAnimationFrame(() => { onPointer(pending); pending = null; });
    pending = event;
  });
  text.addEventListener("click", onPointer);
  text.addEventListener("keydown", onKeyDown);
  addEventListener("scroll", () => paint(false), { passive: true });
  let width = text.clientWidth;
  new ResizeObserver(() => {
    if (text.clientWidth !== width) layout.reset();
    width = text.clientWidth;
    paint(true);
    if (position !== null) showPosition(position);
  }).observe(text);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", updateView);
  for (const radio of document.querySelectorAll("[name=by]")) radio.addEventListener("change", updateView);
  byId("unit").addEventListener("change", () => showUnit(byId("unit").value));
}

async function init() {
  await loadArrays();
  if (matchMedia("(max-width: 60rem)").matches) byId("units").open = false;
  layout = new Layout(text, byId("rows"));
  byId("unit").replaceChildren(...data.units.map(({ name }, n) => new Option(name, n)));
  initFeatures();
  await updateView();
  addListeners();
  performance.mark("coloured");
}

init();
