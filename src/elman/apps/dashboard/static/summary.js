// The status, metrics and settings of a run, and the table of runs.

import { byId, create, setText } from "../dom.js";
import { formatCount, formatDuration, formatTime } from "../format.js";
import { round, scale, series } from "./chart.js";

const LOST = "Lost connection: the command has ended, or the computer slept. The page shows the last data received; elman view shows everything that was saved.";

/** Show the selected run and its status; of the one in training, if that is another, show how it ends. */
export function showRun(run, unit, connection, liveRun) {
  const { status } = run;
  setText(byId("name"), run.name);
  setText(byId("about"), describeRun(run));
  if (document.title !== run.name) document.title = run.name;
  const progress = byId("progress");
  progress.hidden = !run.live;
  if (status.updates) progress.value = status.update / status.updates;
  else progress.removeAttribute("value");
  const tiles = metricsOf(run, unit, connection).map(([name, value, details]) =>
    create("div", {}, create("dt", {}, name), create("dd", {}, create("span", { className: "value" }, value), create("small", {}, details))));
  byId("metrics").replaceChildren(...tiles);
  const stage = describeStage(run), liveStage = liveRun ? describeStage(liveRun) : "";
  setText(byId("stage"), stage || (liveStage ? `${liveRun.name}: ${liveStage}` : ""));
  setText(byId("warning"), connection === "lost" ? LOST : status.warning ?? "");
}

function describeRun({ about }) {
  if (!about.corpus) return "";
  const { name, chars, alphabet_size: size } = about.corpus;
  return `${about.network}, on ${name}: ${formatCount(chars)} characters, alphabet size ${formatCount(size)}`;
}

/** Return name, value and details of the metrics to show. */
function metricsOf(run, unit, connection) {
  const { status } = run;
  const hasStarted = status.update != null; // before, there are only dashes
  const total = status.updates ? `of ${formatCount(status.updates)}, ` : "", [update, lowest] = status.best ?? [];
  const format = (loss) => formatRunLoss(run, loss, unit), speed = status.chars_per_second;
  const left = connection === "final" ? "none" : formatDuration(connection === "lost" ? null : status.seconds_left);
  return [
    ["Updates", formatCount(status.update), hasStarted ? total + describeEpochs(run) : ""],
    ["Train loss", format(status.train_loss), ""],
    status.best && ["Validation loss", format(run.validation_loss.value.at(-1)), `minimum ${format(lowest)} at update ${formatCount(update)}`],
    ["Characters per second", formatCount(speed), speed == null ? "" : run.live ? "recent" : "average"],
    run.live ? ["Time left", left, hasStarted ? `${formatDuration(status.seconds)} spent on updates` : ""]
      : ["Training time", formatDuration(status.seconds), status.written ? `last written ${formatTime(status.written)}` : ""],
  ].filter(Boolean);
}

/** A loss in nats per character, in a unit; two decimals for nats per window, three per character. */
export const formatRunLoss = (run, loss, unit) => (loss == null ? "–" : (loss * scale(run, unit)).toFixed(unit === "window" ? 2 : 3));

const describeEpochs = ({ status: { epoch } }) => `${formatCount(epoch, 2)} ${epoch === 1 ? "epoch" : "epochs"}`;

function describeStage({ status: { stage, ending } }) {
  return {
    preparing: "Compiling kernels, once for this kind of network; it may take half a minute.",
    stopping: "Stopping: saving the run.",
    stopped: "Stopped and saved. Continue with elman train … --resume.",
    done: `Training is complete. ${ending}`,
    failed: `Training failed: ${ending}`,
  }[stage] ?? "";
}

/** Show the table of runs: whether each is shown in the chart, its metrics, and whether it is selected. */
export function showTable(body, runs, unit, onShown, onSelected) {
  if (!body.children.length) body.append(...runs.map((run) => createRow(run, onShown, onSelected)));
  runs.forEach((run, i) => {
    const label = body.children[i].querySelector("label > :last-child");
    setText(label, run.label = hasOneText(runs) ? run.name : `${run.name} (${run.about.corpus?.name ?? "…"})`);
    const { update, train_loss, best, chars_per_second } = run.status, losses = [train_loss, best?.[1]];
    const metrics = [formatCount(update), ...losses.map((loss) => formatRunLoss(run, loss, unit)), formatCount(chars_per_second)];
    metrics.forEach((text, k) => setText(body.children[i].children[k + 1], text));
  });
}

/** Return whether losses can be compared: all runs are on the same text, as far as that is known. */
const hasOneText = (runs) => new Set(runs.map(({ about }) => about.corpus?.sha256).filter(Boolean)).size < 2;

function createRow(run, onShown, onSelected) {
  const checkbox = create("input", { type: "checkbox", checked: true });
  checkbox.addEventListener("change", () => onShown(run, checkbox.checked));
  const swatch = create("span", { className: `swatch series-${series(run)} round-${round(run)}` });
  const label = create("label", {}, checkbox, swatch, create("span"));
  const ariaLabel = `Show details of ${run.name}`;
  const radio = create("input", { type: "radio", checked: run.number === 0, name: "selected", ariaLabel });
  radio.addEventListener("change", () => onSelected(run));
  const metrics = Array.from({ length: 4 }, () => create("td"));
  return create("tr", {}, create("td", {}, label), ...metrics, create("td", {}, radio));
}

/** Show the settings of a run. */
export function showSettings(list, { settings }) {
  list.replaceChildren(
    ...Object.entries(settings).map(([name, value]) =>
      create("div", {}, create("dt", {}, name.replaceAll("_", " ")), create("dd", {}, String(value ?? "none")))),
  );
}
