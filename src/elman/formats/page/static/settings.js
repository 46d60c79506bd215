/* The form with the sampling settings. */

import { byId, create } from "../dom.js";
import { UserError } from "./task.js";

/** The ids of the fields by name of the setting; the sampling options are added. */
const FIELDS = { max_tokens: "length", seed: "seed" };

/** Set up the form, with a field for each sampling option. */
export function initSettings(sampling) {
  byId("seed").addEventListener("input", () => { byId("new-seed").checked = false; });
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) byId("speed").value = "0";
  const [temperature, ...others] = sampling.map(createField);  // the others are seldom changed
  byId("settings").prepend(temperature);
  byId("more-settings").prepend(...others);
  byId("settings-help").prepend(...sampling.flatMap(({ label, help }) =>
    [create("dt", { textContent: label }), create("dd", { textContent: help })]));
  for (const { name } of sampling) FIELDS[name] = idOf(name);
}

const idOf = (name) => name.replaceAll("_", "-");

function createField({ name, label, minimum: min, maximum: max, step, start: value }) {
  const field = create("input", { type: "number", id: idOf(name), required: true, min, max, step, value });
  return create("div", {}, create("label", { htmlFor: field.id, textContent: label }), field);
}

/** Return the settings by name; for a new text with a new seed, if that is selected. */
export function readSettings(isNewText) {
  if (isNewText && byId("new-seed").checked) byId("seed").value = Math.floor(Math.random() * 1_000_000);
  return Object.fromEntries(Object.entries(FIELDS).map(([name, id]) => [name, readNumber(byId(id))]));
}

function readNumber(field) {
  const isInvalid = !field.validity.valid && !(field.validity.stepMismatch && field.step !== "1");
  if (isInvalid) {
    field.closest("details")?.setAttribute("open", "");
    field.focus();
    const kind = field.step === "1" ? "an integer" : "a number";
    throw new UserError(`${field.labels[0].textContent} must be ${kind} from ${field.min} to ${field.max}.`);
  }
  return Number(field.value);
}
