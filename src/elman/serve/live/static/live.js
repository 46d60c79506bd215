// The page: it asks for what is new, shows it, and draws no more often than is cheap.

import { draw, touched, updates } from "./chart.js";
import { say, showRun, showSettings, showTable } from "./summary.js";
import { drawHistograms } from "./histograms.js";
import { Run, fetched, wish } from "./run.js";
import { showTexts } from "./samples.js";

const SOON = 300; // milliseconds until a wish is asked about,
const OFTEN = 2000; // between two questions about a run in training,
const SELDOM = 6000; // about one in a directory, and about the weights
const SHARE = 0.005; // of the time, that drawing the curves may take, and the weights likewise: the training needs the rest
const LATEST = 5000; // until the curves are drawn in any case, so that they go with the figures above them
const ENDED = ["done", "stopped", "failed"];

const at = (id) => document.getElementById(id);
const controls = at("controls");
let runs = [];
let chosen = null; // whose figures, texts and weights are shown
let stale = true; // whether something is not drawn yet
let zooms = 0; // that a person has gone back from
let ending = null; // the request that is answered at the end of the training
let told = false; // whether there is a reason to ask though the page is hidden
let [drawnAt, took] = [0, 0];
const weights = { seen: false, due: 0, drawn: "" };
let waiting = 0;
let asking = false;

const view = () => ({
  unit: controls.unit.value,
  across: controls.across.value,
  part: Number(controls.part.value),
  logy: controls.logy.checked,
  logx: controls.logx.checked,
  zooms,
});

async function begin() {
  runs = (await fetched("/api/runs")).runs.map((run, number) => new Run(number, run));
  chosen = runs[0];
  at("runs").hidden = runs.length < 2;
  listen();
  told = true; // what there is, also in a page that was opened behind another
  await redraw(); // that there is nothing yet
  await turn();
}

/** Hold a request that tells a hidden page of the end, or that the server is gone. */
function listen() {
  if (!runs.some((run) => run.live) || (ending && ending.readyState !== EventSource.CLOSED)) return;
  ending = new EventSource("/api/end");
  ending.onmessage = () => {
    told = true;
    for (const run of runs) run.due = 0;
    turn();
  };
  ending.onerror = () => {
    ending.close(); // it is asked again by a page that is seen, once the server has answered
    ending.onmessage();
  };
}

/** Ask, show, and come again; a page that nobody sees asks at the end alone. */
async function turn() {
  if (asking) return;
  clearTimeout(waiting);
  asking = true;
  let pause = OFTEN;
  try {
    if (!document.hidden || told) await step();
  } catch (error) {
    pause = SELDOM;
    await lost(error);
  }
  asking = false;
  if (!runs.every((run) => run.over)) waiting = setTimeout(turn, told ? 0 : pause);
}

const ended = () => runs.some((run) => run.live && ENDED.includes(run.status.stage));

/** Nothing comes any more: say so, unless that is as it should be, and show what came. */
async function lost(error) {
  if (!(error instanceof TypeError || error.name === "TimeoutError")) console.error(error);
  if (!chosen) return say(at("warning"), "The server does not answer: it has ended.");
  for (const run of runs) run[ended() ? "over" : "lost"] = true;
  show();
  if (stale && !document.hidden) await redraw();
}

async function step() {
  told = false;
  const now = performance.now();
  const due = runs.filter((run) => run.due <= now && !run.over);
  for (const run of due) run.due = now + (run.live ? OFTEN : SELDOM) - 100; // unless the end is told meanwhile
  const news = await Promise.all(due.map((run) => run.ask()));
  for (const run of due) run.lost = false;
  stale ||= news.some(Boolean);
  if (ended()) {
    if (!chosen.over) await last();
  } else if (!document.hidden) listen();
  show();
  if (document.hidden) return;
  if (stale && (chosen.over || now - drawnAt >= Math.min(took / SHARE, LATEST))) await redraw();
  if (weights.seen && now >= weights.due) await weigh();
}

/** The training is over, and its server with it as soon as this page lets go: fetch all that may be looked at later. */
async function last() {
  await Promise.all(runs.map((run) => Promise.all([run.live || run.ask(), run.weigh()])));
  for (const run of runs) run.over = true;
  weights.due = 0;
  stale = true;
  ending?.close();
}

function show() {
  const { unit } = view();
  showRun(chosen, unit, runs.find((run) => run.live));
  showTable(at("runs").tBodies[0], runs, unit, changed);
  showTexts(at("texts"), chosen, unit);
  at("key-validation").hidden = !runs.some((run) => run.shown && run.scores.count);
  showSettings(at("settings"), chosen);
  at("wishes").hidden = !chosen.live; // what they ask is asked of the run in training
  at("stop").disabled = chosen.over || chosen.lost || chosen.status.stage === "stopping";
  at("sample").disabled = at("stop").disabled || chosen.status.sampling;
}

/** Milliseconds that drawing takes, until it is seen. */
async function timed(drawing) {
  const began = performance.now();
  await drawing();
  await new Promise((seen) => {
    requestAnimationFrame(() => setTimeout(seen));
    setTimeout(seen, SOON); // where the page is hidden meanwhile
  });
  return performance.now() - began;
}

async function redraw() {
  stale = false;
  const chart = at("chart");
  took = await timed(async () => {
    const drawn = await draw(chart, runs, view());
    at("plot").classList.toggle("empty", !drawn);
    say(at("none"), drawn ? "" : runs.some((run) => run.shown) ? "The curve begins with the first points." : "No run is chosen.");
  });
  drawnAt = performance.now();
  if (chart.data && !chart.listening) {
    chart.listening = true;
    chart.on("plotly_relayout", zoomed);
  }
}

async function weigh() {
  if (!chosen.over) await chosen.weigh();
  const { histograms } = chosen;
  const found = JSON.stringify(histograms);
  const fresh = histograms.length && found !== weights.drawn;
  const took = fresh ? await timed(() => drawHistograms(at("histograms"), histograms)) : 0;
  weights.drawn = found;
  weights.due = performance.now() + Math.max(SELDOM, took / SHARE);
}

/** Forget what is known in detail; whether the whole is seen now. */
function whole(seen) {
  at("whole").hidden = seen;
  for (const run of runs) run.overlook();
}

/** A person has zoomed, or back: what is seen now comes in all detail. */
async function zoomed(event) {
  const [low, high] = [event["xaxis.range[0]"], event["xaxis.range[1]"]];
  if (low === undefined && !event["xaxis.autorange"]) {
    // Up and down alone: there is a way back from that too, but nothing more to be seen.
    if (Object.keys(event).some((name) => name.includes(".range["))) at("whole").hidden = false;
    return;
  }
  const range = low === undefined ? null : [low, high].map(Number);
  whole(range === null);
  for (const run of runs) {
    if (range && run.thinned && !run.over && !run.lost) {
      const [first, last] = updates(run, range, view());
      await run.look(Math.max(0, Math.floor(first)), Math.max(0, Math.ceil(last))).catch(lost);
    }
  }
  await redraw();
}

/** A person has changed what is shown of a run. */
function changed(run, what, value) {
  if (what === "chosen") {
    chosen = run;
    weights.due = 0;
  } else run.shown = value;
  redraw();
  turn();
}

controls.addEventListener("change", () => {
  whole(true); // another view begins with all of it
  show();
  redraw();
});
controls.addEventListener("submit", (event) => event.preventDefault());
at("whole").addEventListener("click", () => {
  whole(true);
  zooms += 1;
  redraw();
  controls.unit.focus();
});
/** Ask something of the training, and soon after what came of it. */
async function ask(what, ...buttons) {
  for (const button of buttons) at(button).disabled = true;
  await wish(what).catch(lost);
  setTimeout(() => {
    for (const run of runs) if (run.live) run.due = 0;
    turn();
  }, SOON);
}
at("stop").addEventListener("click", () => ask("stop", "stop", "sample"));
at("sample").addEventListener("click", () => ask("sample", "sample"));
for (const query of [matchMedia("(prefers-color-scheme: dark)"), touched]) {
  query.addEventListener("change", () => {
    Object.assign(weights, { due: 0, drawn: "" });
    redraw();
    turn();
  });
}
document.addEventListener("visibilitychange", () => document.hidden || turn());
new IntersectionObserver((entries) => {
  weights.seen = entries.at(-1).isIntersecting;
  if (weights.seen && chosen?.over) turn(); // which comes by itself no more
}).observe(at("spread"));

begin().catch(lost);
