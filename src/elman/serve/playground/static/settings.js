/* The form with the sampling settings. */

import { UserError } from "./api.js";

const byId = (id) => document.getElementById(id);
/** Arguments of a request, and the fields that they are entered in. */
const FIELDS = {
  temperature: "temperature", top_k: "top-k", top_p: "top-p", min_p: "min-p", max_tokens: "length", seed: "seed",
};

/** Connect the fields with each other. Settings can be changed before the server has sent its limits. */
export function initSettings() {
  const slider = byId("temperature-slider"), number = byId("temperature");
  slider.addEventListener("input", () => { number.value = slider.value; });
  number.addEventListener("input", () => { slider.value = number.value; });
  byId("seed").addEventListener("input", () => { byId("new-seed").checked = false; });
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) byId("speed").value = "0";
}

export function setLimits({ length }) {
  byId("length").max = length;
  byId("length").value = Math.min(byId("length").value, length);
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
