// The dashboard: it polls the server, shows what is new, and redraws no more often than is cheap.

import { byId, setText } from "../dom.js";
import { draw, toUpdates, touchScreen } from "./chart.js";
import { drawHistograms } from "./histograms.js";
import { Run, fetchJson, postCommand } from "./run.js";
import { showSamples } from "./samples.js";
import { showRun, showSettings, showTable } from "./summary.js";

const COMMAND_DELAY = 300; // milliseconds from a command to the next poll
const LIVE_INTERVAL = 2000; // between two polls of a run in training
const DRAWING_INTERVAL = 4000; // between two drawings of the curves
const SLOW_INTERVAL = 6000; // between two polls of a saved run, and of the histograms
const ENDED = ["done", "stopped", "failed"];

const controls = byId("controls");
let runs = [];
let selected = null; // the run whose metrics, samples and histograms are shown
let isStale = true; // whether there are points that are not drawn yet
let zoomCount = 0; // how often the user has zoomed out
let endEvents = null; // the event source of the end of training
let mustPoll = false; // whether to poll although the page is in the background
let drawnAt = 0;
const distributions = { isVisible: false, due: 0, drawn: "" };
let timeout = 0;
let isPolling = false;

const view = () => ({
  unit: controls.unit.value,
  across: controls.across.value,
  part: Number(controls.part.value),
  logy: controls.logy.checked,
  logx: controls.logx.checked,
  zoomCount,
});

async function init() {
  runs = (await fetchJson("/api/runs")).runs.map((run, number) => new Run(number, run));
  selected = runs[0];
  byId("runs").hidden = runs.length < 2;
  subscribe();
  mustPoll = true; // also in a tab that was opened in the background
  await redraw(); // the empty chart
  await poll();
}

/** Subscribe to the end of training, so that a page in the background learns of it, or that the server is gone. */
function subscribe() {
  if (!runs.some((run) => run.live) || (endEvents && endEvents.readyState !== EventSource.CLOSED)) return;
  endEvents = new EventSource("/api/end");
  endEvents.onmessage = () => {
    mustPoll = true;
    for (const run of runs) run.due = 0;
    poll();
  };
  endEvents.onerror = () => {
    endEvents.close(); // a visible page subscribes again when the server has responded
    endEvents.onmessage();
  };
}

/** Poll, show what is new, and schedule the next poll. A page in the background polls only at the end of training. */
async function poll() {
  if (isPolling) return;
  clearTimeout(timeout);
  isPolling = true;
  let pause = LIVE_INTERVAL;
  try {
    if (!document.hidden || mustPoll) await update();
  } catch (error) {
    pause = SLOW_INTERVAL;
    await onConnectionLost(error);
  }
  isPolling = false;
  if (!runs.every((run) => run.isFinal)) timeout = setTimeout(poll, mustPoll ? 0 : pause);
}

const hasEnded = () => runs.some((run) => run.live && ENDED.includes(run.status.stage));

/** Report that the server does not respond, unless training has ended, and show the last data. */
async function onConnectionLost(error) {
  if (!(error instanceof TypeError || error.name === "TimeoutError")) console.error(error);
  if (!selected) return setText(byId("warning"), "No response from the server: it has stopped.");
  for (const run of runs) run[hasEnded() ? "isFinal" : "isLost"] = true;
  show();
  if (isStale && !document.hidden) await redraw();
}

async function update() {
  mustPoll = false;
  const now = performance.now();
  const due = runs.filter((run) => run.due <= now && !run.isFinal);
  for (const run of due) run.due = now + (run.live ? LIVE_INTERVAL : SLOW_INTERVAL) - 100; // reset by the end event
  const hasNews = await Promise.all(due.map((run) => run.fetchNews()));
  for (const run of due) run.isLost = false;
  isStale ||= hasNews.some(Boolean);
  if (hasEnded()) {
    if (!selected.isFinal) await fetchLast();
  } else if (!document.hidden) subscribe();
  show();
  if (document.hidden) return;
  if (isStale && (selected.isFinal || now - drawnAt >= DRAWING_INTERVAL)) await redraw();
  if (distributions.isVisible && now >= distributions.due) await updateHistograms();
}

/** Fetch everything that the page may show later: the server stops when this page closes its subscription. */
async function fetchLast() {
  await Promise.all(runs.map((run) => Promise.all([run.live || run.fetchNews(), run.fetchHistograms()])));
  for (const run of runs) run.isFinal = true;
  distributions.due = 0;
  isStale = true;
  endEvents?.close();
}

function show() {
  const { unit } = view();
  showRun(selected, unit, runs.find((run) => run.live));
  showTable(byId("runs").tBodies[0], runs, unit, onRunChange);
  showSamples(byId("samples"), selected, unit);
  byId("key-validation").hidden = !runs.some((run) => run.isShown && run.validation_loss.count);
  showSettings(byId("settings"), selected);
  byId("commands").hidden = !selected.live; // the commands are for the run in training
  byId("stop").disabled = selected.isFinal || selected.isLost || selected.status.stage === "stopping";
  byId("sample").disabled = byId("stop").disabled || selected.status.sampling;
}

async function redraw() {
  isStale = false;
  drawnAt = performance.now();
  const chart = byId("chart"), isDrawn = await draw(chart, runs, view());
  byId("plot").classList.toggle("empty", !isDrawn);
  const isAnyShown = runs.some((run) => run.isShown);
  setText(byId("none"), isDrawn ? "" : isAnyShown ? "Waiting for the first data points." : "No run is selected.");
  if (chart.data && !chart.hasListener) {
    chart.hasListener = true;
    chart.on("plotly_relayout", onZoom);
  }
}

async function updateHistograms() {
  if (!selected.isFinal) await selected.fetchHistograms();
  const { histograms } = selected, content = JSON.stringify(histograms);
  if (histograms.length && content !== distributions.drawn) await drawHistograms(byId("histograms"), histograms);
  distributions.drawn = content;
  distributions.due = performance.now() + SLOW_INTERVAL;
}

/** Discard the details of a zoomed range; `isUnzoomed`: whether the entire curve is visible now. */
function discardDetails(isUnzoomed) {
  byId("unzoom").hidden = isUnzoomed;
  for (const run of runs) run.discardDetail();
}

/** After zooming in or out: fetch the visible range in full detail. */
async function onZoom(event) {
  const [low, high] = [event["xaxis.range[0]"], event["xaxis.range[1]"]];
  if (low === undefined && !event["xaxis.autorange"]) {
    // Zoomed vertically: this can be undone, but there are no more details.
    if (Object.keys(event).some((name) => name.includes(".range["))) byId("unzoom").hidden = false;
    return;
  }
  const range = low === undefined ? null : [low, high].map(Number);
  discardDetails(range === null);
  for (const run of runs) {
    if (range && run.isDownsampled && !run.isFinal && !run.isLost) {
      const [first, last] = toUpdates(run, range, view());
      await run.fetchDetail(Math.max(0, Math.floor(first)), Math.max(0, Math.ceil(last))).catch(onConnectionLost);
    }
  }
  await redraw();
}

/** A run was selected, or shown or hidden in the chart. */
function onRunChange(run, { isSelected = false, isShown = run.isShown }) {
  run.isShown = isShown;
  if (isSelected) {
    selected = run;
    distributions.due = 0;
  }
  redraw();
  poll();
}

/** Send a command to the training process, and poll for its effect soon after. */
async function sendCommand(name, ...buttons) {
  for (const button of buttons) byId(button).disabled = true;
  await postCommand(name).catch(onConnectionLost);
  setTimeout(() => {
    for (const run of runs) if (run.live) run.due = 0;
    poll();
  }, COMMAND_DELAY);
}

controls.addEventListener("change", () => {
  discardDetails(true); // another view starts with the entire curve
  show();
  redraw();
});
controls.addEventListener("submit", (event) => event.preventDefault());
byId("unzoom").addEventListener("click", () => {
  discardDetails(true);
  zoomCount += 1;
  redraw();
  controls.unit.focus();
});
byId("stop").addEventListener("click", () => sendCommand("stop", "stop", "sample"));
byId("sample").addEventListener("click", () => sendCommand("sample", "sample"));
for (const query of [matchMedia("(prefers-color-scheme: dark)"), touchScreen]) {
  query.addEventListener("change", () => {
    Object.assign(distributions, { due: 0, drawn: "" });
    redraw();
    poll();
  });
}
document.addEventListener("visibilitychange", () => document.hidden || poll());
new IntersectionObserver((entries) => {
  distributions.isVisible = entries.at(-1).isIntersecting;
  if (distributions.isVisible && selected?.isFinal) poll(); // which no longer happens by itself
}).observe(byId("distributions"));

init().catch(onConnectionLost);
