/* The form with the sampling settings. */

import { byId, create } from "../dom.js";
import { UserError } from "./task.js";

/** Arguments of a request, and the fields that they are entered in; those of the sampling options are added. */
const FIELDS = { max_tokens: "length", seed: "seed" };
/** Sampling options that have a slider as well. */
const SLIDERS = new Set(["temperature"]);

/** Connect the fields with each other. */
export function initSettings() {
  byId("seed").addEventListener("input", () => { byId("new-seed").checked = false; });
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) byId("speed").value = "0";
}

/** Apply what the server has sent: its limits, and the sampling options. */
export function configureSettings({ limits, sampling }) {
  byId("length").max = limits.length;
  byId("length").value = Math.min(byId("length").value, limits.length);
  const added = sampling.filter(({ name }) => !(name in FIELDS));
  byId("settings").prepend(...added.map(createField));
  byId("settings-help").prepend(...added.flatMap(({ label, help }) =>
    [create("dt", { textContent: label }), create("dd", { textContent: help })]));
  for (const { name } of added) FIELDS[name] = idOf(name);
}

const idOf = (name) => name.replaceAll("_", "-");

function createField({ name, label, minimum, maximum, step, default: value }) {
  const id = idOf(name), range = { min: minimum, max: maximum, step, value };
  const number = create("input", { type: "number", id, required: true, ...range });
  if (!SLIDERS.has(name)) return create("div", {}, create("label", { htmlFor: id, textContent: label }), number);
  const slider = create("input", { type: "range", id: `${id}-slider`, ...range });
  number.ariaLabel = `${label} (number)`;
  slider.addEventListener("input", () => { number.value = slider.value; });
  number.addEventListener("input", () => { slider.value = number.value; });
  const heading = create("label", { htmlFor: slider.id, textContent: label });
  return create("div", { className: "slider" }, heading, create("span", {}, slider, number));
}

/** Return the settings by the names of the request's arguments; for a new text with a new seed, if that is selected. */
export function readSettings(isNewText) {
  if (isNewText && byId("new-seed").checked) byId("seed").value = Math.floor(Math.random() * 1_000_000);
  return Object.fromEntries(Object.entries(FIELDS).map(([name, id]) => [name, readNumber(byId(id))]));
}

/** Characters to show per second; 0 shows them as they arrive. */
export const charsPerSecond = () => Number(byId("speed").value);

function readNumber(field) {
  const isInvalid = !field.validity.valid && !(field.validity.stepMismatch && field.step !== "1");
  if (isInvalid) {
    field.focus();
    const label = field.closest("div").querySelector("label").textContent;
    const kind = field.step === "1" ? "an integer" : "a number";
    throw new UserError(`${label} must be ${kind} from ${field.min} to ${field.max}.`);
  }
  return Number(field.value);
}
