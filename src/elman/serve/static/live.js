// The page: it asks for what is new, shows it, and draws no more often than is cheap.

import { draw, touched, updates } from "./live-chart.js";
import { say, showRun, showSettings, showTable } from "./live-figures.js";
import { drawHistograms } from "./live-histograms.js";
import { Run, fetched, wish } from "./live-run.js";
import { showTexts } from "./live-texts.js";

const SOON = 300; // milliseconds until a wish is asked about,
const OFTEN = 2000; // between two questions about a run in training,
const SELDOM = 6000; // about one in a directory, and about the weights
const SHARE = 0.005; // of the time, that drawing the curves may take, and the weights likewise: the training needs the rest
const ENDED = ["done", "stopped", "failed"];

const at = (id) => document.getElementById(id);
const controls = at("controls");
let runs = [];
let chosen = null; // whose figures, texts and weights are shown
let stale = true; // whether something is not drawn yet
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
});

async function begin() {
  runs = (await fetched("/api/runs")).runs.map((run, number) => new Run(number, run));
  chosen = runs[0];
  at("wishes").hidden = !chosen.live;
  at("runs").hidden = runs.length < 2;
  await turn();
}

/** Ask, show, and come again; a page that nobody sees does nothing. */
async function turn() {
  if (asking) return;
  clearTimeout(waiting);
  asking = true;
  let pause = OFTEN;
  try {
    if (!document.hidden) await step();
  } catch (error) {
    pause = SELDOM;
    lost(error);
  }
  asking = false;
  if (!runs.every((run) => run.over)) waiting = setTimeout(turn, pause);
}

function lost(error) {
  say(at("warning"), "The server does not answer: what it showed has ended, or it was killed.");
  if (!(error instanceof TypeError || error.name === "TimeoutError")) console.error(error);
}

async function step() {
  const now = performance.now();
  const due = runs.filter((run) => run.due <= now && !run.over);
  const news = await Promise.all(due.map((run) => run.ask()));
  for (const run of due) {
    run.due = now + (run.live ? OFTEN : SELDOM) - 100;
    // With a run in training its server ends.
    if (run.live && ENDED.includes(run.status.stage)) for (const each of runs) each.over = true;
  }
  stale ||= news.some(Boolean);
  show();
  if (stale && (chosen.over || now - drawnAt >= took / SHARE)) await redraw();
  if (weights.seen && now >= weights.due && !chosen.over) await weigh();
}

function show() {
  const { unit } = view();
  showRun(chosen, unit);
  showTable(at("runs").tBodies[0], runs, unit, changed);
  showTexts(at("texts"), chosen, unit);
  at("key-validation").hidden = !runs.some((run) => run.shown && run.scores.count);
  showSettings(at("settings"), chosen);
  at("stop").disabled = chosen.over || chosen.status.stage === "stopping";
  at("sample").disabled = chosen.over || chosen.status.sampling || chosen.status.stage === "stopping";
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
  took = await timed(() => draw(chart, runs, view()));
  drawnAt = performance.now();
  if (!chart.listening) {
    chart.listening = true;
    chart.on("plotly_relayout", zoomed);
  }
}

async function weigh() {
  const { histograms } = await fetched(`/api/runs/${chosen.number}/histograms`);
  const found = JSON.stringify(histograms);
  const fresh = histograms.length && found !== weights.drawn;
  const took = fresh ? await timed(() => drawHistograms(at("histograms"), histograms)) : 0;
  weights.drawn = found;
  weights.due = performance.now() + Math.max(SELDOM, took / SHARE);
}

/** Forget what is known in detail; whether the whole is seen now. */
function whole(seen) {
  at("whole").hidden = seen;
  for (const run of runs) run.detail = null;
}

/** A person has zoomed, or back: what is seen now comes in all detail. */
async function zoomed(event) {
  const [low, high] = [event["xaxis.range[0]"], event["xaxis.range[1]"]];
  if (low === undefined && !event["xaxis.autorange"]) return;
  const range = low === undefined ? null : [low, high].map(Number);
  whole(range === null);
  for (const run of runs) {
    if (range && run.thinned && !run.over) {
      const [first, last] = updates(run, range, view());
      await run.look(Math.max(0, Math.floor(first)), Math.max(0, Math.ceil(last)));
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
  Plotly.relayout(at("chart"), { "xaxis.autorange": true, "yaxis.autorange": true, "yaxis2.autorange": true });
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
  });
}
document.addEventListener("visibilitychange", () => document.hidden || turn());
new IntersectionObserver((entries) => {
  weights.seen = entries.at(-1).isIntersecting;
}).observe(at("spread"));

begin().catch(lost);
