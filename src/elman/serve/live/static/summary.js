// What stands in words and numbers: the run's name and figures, the table of runs, the settings.

import { scale, series } from "./chart.js";
import { ago, counted, duration, element, loss } from "./format.js";

const at = (id) => document.getElementById(id);

/** Say which run is looked at, and where it stands; of the one in training, which may be another, how it ends. */
export function showRun(run, unit, training) {
  const { status } = run;
  const smooth = loss(status.smooth_loss == null ? null : status.smooth_loss * scale(run, unit, true), unit);
  say(at("name"), run.name);
  say(at("about"), about(run));
  if (document.title !== run.name) document.title = run.name;
  const share = at("share");
  share.hidden = !run.live;
  if (status.updates) share.value = status.update / status.updates;
  else share.removeAttribute("value");
  tiles(at("figures"), figures(run, unit, smooth));
  say(at("said"), said(run) || (training && said(training) ? `${training.name}: ${said(training)}` : ""));
  say(at("warning"), run.lost ? lost(run) : status.warning ?? "");
}

function about({ settings, about: known }) {
  if (!known?.corpus) return "";
  const { name, chars, alphabet_size: K } = known.corpus;
  const layers = settings.layers > 1 ? `, ${settings.layers} layers` : "";
  return `${settings.cell}, m = ${settings.hidden_size}${layers}, on ${name}: ${counted(chars)} characters, ${K} different ones`;
}

function figures(run, unit, smooth) {
  const { status } = run;
  const best = status.best && loss(status.best[1] * scale(run, unit, false), unit);
  const minimum = status.minimum?.[1] != null && loss(status.minimum[1] * scale(run, unit, true), unit);
  const latest = run.scores.value.at(-1);
  const begun = status.update != null; // before that there are dashes, and nothing to say of them
  const made = [
    ["Updates", counted(status.update), begun ? (status.updates ? `of ${counted(status.updates)}, ` : "") + passes(run) : ""],
    ["Smooth loss", smooth, minimum ? `least ${minimum} at ${counted(status.minimum[0])}` : ""],
  ];
  if (best) {
    const value = loss(latest * scale(run, unit, false), unit);
    made.push(["Validation loss", value, `best ${best} at ${counted(status.best[0])}`]);
  }
  made.push(["Characters a second", counted(status.chars_per_second), status.chars_per_second == null ? "" : run.live ? "of late" : "in all"]);
  if (run.live) made.push(["Time left", run.over ? "none" : duration(run.lost ? null : status.seconds_left), begun ? `${duration(status.seconds)} of updates so far` : ""]);
  else made.push(["Time", duration(status.seconds), status.written ? `written ${ago(status.written)}` : ""]);
  return made;
}

const passes = ({ status }) => (status.epoch ? `text read ${counted(status.epoch)} ${status.epoch === 1 ? "time" : "times"}` : "first pass");

function said(run) {
  const { stage, ending } = run.status;
  return {
    preparing: "Preparing the kernels: the first time they are compiled, which takes some seconds.",
    stopping: "Stopping: the run is being saved.",
    stopped: "Stopped and saved. Go on with it by elman train … --resume.",
    done: `The training is over. ${ending}`,
    failed: `The training has ended with an error: ${ending}`,
  }[stage] ?? "";
}

/** What may have happened to the server, and what to do. */
function lost({ live, name }) {
  if (!live) return "The server does not answer: elman view has ended, or this computer was asleep. What has come until then stays here; elman view shows the rest.";
  return `The server does not answer: the training has ended or was killed, or this computer was asleep. What has come until then stays here; elman view with the directory of ${name} shows what was saved.`;
}

/** Put a text where it is not yet: what is put there again is laid out again, and read aloud again. */
export function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** Change the figures in place, so that what a person has marked stays marked. */
function tiles(list, made) {
  while (list.children.length > made.length) list.lastChild.remove();
  made.forEach(([name, value, more], i) => {
    if (!list.children[i]) {
      const tile = element("div");
      tile.append(element("dt"), element("dd"));
      tile.lastChild.append(element("span", "", "value"), element("small"));
      list.append(tile);
    }
    const [term, description] = list.children[i].children;
    for (const [part, text] of [[term, name], [description.firstChild, value], [description.lastChild, more]]) {
      say(part, text);
    }
  });
}

/** The table of runs, a row each: whether it is drawn, its figures, and whether it is the one looked at. */
export function showTable(body, runs, unit, changed) {
  if (!body.children.length) body.append(...runs.map((run) => row(run, changed)));
  runs.forEach((run, i) => {
    const { status } = run;
    const figures = [
      counted(status.update),
      loss(status.smooth_loss == null ? null : status.smooth_loss * scale(run, unit, true), unit),
      loss(status.best ? status.best[1] * scale(run, unit, false) : null, unit),
      counted(status.chars_per_second),
    ];
    figures.forEach((text, k) => say(body.children[i].children[k + 1], text));
  });
}

function row(run, changed) {
  const made = element("tr");
  const name = element("td");
  const label = element("label");
  label.append(input("checkbox", true, (box) => changed(run, "shown", box.checked)), element("span", "", `swatch series-${series(run)}`), element("span", run.name));
  name.append(label);
  const look = element("td");
  const radio = input("radio", run.number === 0, () => changed(run, "chosen"));
  radio.name = "chosen";
  radio.ariaLabel = `Look at ${run.name}`;
  look.append(radio);
  made.append(name, element("td"), element("td"), element("td"), element("td"), look);
  return made;
}

function input(type, checked, changed) {
  const made = element("input");
  Object.assign(made, { type, checked });
  made.addEventListener("change", () => changed(made));
  return made;
}

/** The settings of a run. */
export function showSettings(list, { number, session, settings }) {
  if (list.dataset.shown === `${number} ${session}`) return;
  list.dataset.shown = `${number} ${session}`;
  list.replaceChildren(
    ...Object.entries(settings).map(([name, value]) => {
      const made = element("div");
      made.append(element("dt", name.replaceAll("_", " ")), element("dd", String(value ?? "none")));
      return made;
    }),
  );
}
