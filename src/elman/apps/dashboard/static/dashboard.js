// The dashboard: it polls the server and shows what is new.

import { byId, setText } from "../dom.js";
import { draw, touchScreen } from "./chart.js";
import { showHistograms } from "./histograms.js";
import { Run, fetchJson } from "./run.js";
import { showSamples } from "./samples.js";
import { showRun, showSettings, showTable } from "./summary.js";

const INTERVAL = 3000; // milliseconds between two polls
const COMMAND_DELAY = 300; // from a command to the next poll
const ENDED = ["done", "stopped", "failed"];

const controls = byId("controls");
let runs = [];
let selected = null; // the run whose metrics, samples and histograms are shown
let connection = "open"; // "lost" while the server does not respond, "final" once nothing more will come
let isStale = true; // whether there are points that are not drawn yet
let endEvents = null; // the event source of the end of training
let mustPoll = true; // whether to poll although the page is in the background, as when it was opened there
let timeout = 0;
let isPolling = false;

const view = () => ({
  unit: controls.unit.value,
  across: controls.across.value,
  part: Number(controls.part.value),
  logy: controls.logy.checked,
  logx: controls.logx.checked,
});

const findLiveRun = () => runs.find((run) => run.live);
const hasEnded = () => ENDED.includes(findLiveRun()?.status.stage);

async function init() {
  runs = (await fetchJson("/api/runs")).runs.map((run, number) => new Run(number, run));
  selected = runs[0];
  byId("runs").hidden = runs.length < 2;
  subscribe();
  await poll();
}

/** Subscribe to the end of training, so that a page in the background learns of it, or that the server is gone. */
function subscribe() {
  if (!findLiveRun() || (endEvents && endEvents.readyState !== EventSource.CLOSED)) return;
  endEvents = new EventSource("/api/end");
  endEvents.onmessage = () => {
    mustPoll = true;
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
  try {
    if (!document.hidden || mustPoll) await update();
  } catch (error) {
    await onConnectionLost(error);
  }
  isPolling = false;
  if (connection !== "final") timeout = setTimeout(poll, mustPoll ? 0 : INTERVAL);
}

async function update() {
  mustPoll = false;
  if (connection !== "final") {
    const news = await Promise.all(runs.map((run) => run.fetch()));
    connection = "open";
    isStale ||= news.some(Boolean);
    // At the end also those that the page may show later: the server stops when it closes its subscription.
    await Promise.all((hasEnded() ? runs : [selected]).map((run) => run.fetchHistograms()));
    if (hasEnded()) {
      connection = "final";
      endEvents?.close();
    } else if (!document.hidden) subscribe();
  }
  await show();
}

/** Report that the server does not respond, unless training has ended, and show the last data. */
async function onConnectionLost(error) {
  if (!(error instanceof TypeError || error.name === "TimeoutError")) console.error(error);
  if (!selected) return setText(byId("warning"), "No response from the server: it has stopped.");
  connection = hasEnded() ? "final" : "lost";
  await show();
}

async function show() {
  const { unit } = view();
  showRun(selected, unit, connection, findLiveRun());
  showTable(byId("runs").tBodies[0], runs, unit, onShown, onSelected);
  showSamples(byId("samples"), selected, unit);
  showHistograms(byId("histograms"), selected);
  byId("key-validation").hidden = !runs.some((run) => run.isShown && run.validation_loss.update.length);
  showSettings(byId("settings"), selected);
  byId("commands").hidden = !selected.live; // the commands are for the run in training
  byId("stop").disabled = connection !== "open" || selected.status.stage === "stopping";
  byId("sample").disabled = byId("stop").disabled || selected.status.sampling;
  if (isStale && !document.hidden) await redraw();
}

async function redraw() {
  isStale = false;
  const isDrawn = await draw(byId("chart"), runs, view());
  byId("plot").classList.toggle("empty", !isDrawn);
  const reason = runs.some((run) => run.isShown) ? "Waiting for the first data points." : "No run is selected.";
  setText(byId("none"), isDrawn ? "" : reason);
}

function onShown(run, isShown) {
  run.isShown = isShown;
  onViewChange();
}

function onViewChange() {
  isStale = true;
  show();
}

function onSelected(run) {
  selected = run;
  poll();
}

/** Send a command to the training process, and poll for its effect soon after. */
async function sendCommand(name, ...buttons) {
  for (const button of buttons) byId(button).disabled = true;
  const request = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };
  await fetchJson(`/api/${name}`, request).catch(onConnectionLost);
  setTimeout(poll, COMMAND_DELAY);
}

controls.addEventListener("change", onViewChange);
controls.addEventListener("submit", (event) => event.preventDefault());
byId("stop").addEventListener("click", () => sendCommand("stop", "stop", "sample"));
byId("sample").addEventListener("click", () => sendCommand("sample", "sample"));
for (const query of [matchMedia("(prefers-color-scheme: dark)"), touchScreen]) query.addEventListener("change", redraw);
document.addEventListener("visibilitychange", () => document.hidden || poll());

init().catch(onConnectionLost);
