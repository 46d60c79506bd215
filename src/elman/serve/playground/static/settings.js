/* How a text is drawn, as the fields say. */

import { Trouble } from "./api.js";

const byId = (id) => document.getElementById(id);
const FIELDS = {
  temperature: "temperature", top_k: "top-k", top_p: "top-p", min_p: "min-p", max_tokens: "length", seed: "random-state",
};
const NAMES = {
  temperature: "Temperature", "top-k": "Top-k", "top-p": "Top-p", "min-p": "Min-p", length: "Length",
  "random-state": "Random state",
};

/** Keep the slider and the number beside it one. A person may change settings before the server has told its limits. */
export function begin() {
  const slider = byId("temperature-slider"), number = byId("temperature");
  slider.addEventListener("input", () => { number.value = slider.value; });
  number.addEventListener("input", () => { slider.value = number.value; });
  byId("random-state").addEventListener("input", () => { byId("another").checked = false; });
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) byId("pace").value = "0";
}

export function limit({ length }) {
  byId("length").max = length;
  byId("length").value = Math.min(byId("length").value, length);
}

/** Return the settings, named as the server names them; a random state of its own each time, if that is wanted. */
export function settings(anew) {
  if (anew && byId("another").checked) byId("random-state").value = Math.floor(Math.random() * 1_000_000);
  return Object.fromEntries(Object.entries(FIELDS).map(([name, id]) => [name, value(byId(id))]));
}

/** Characters that are shown in a second; 0 shows them as they come. */
export const pace = () => Number(byId("pace").value);

function value(field) {
  const wrong = !field.validity.valid && !(field.validity.stepMismatch && field.step !== "1");
  if (wrong) {
    field.closest("details")?.setAttribute("open", "");
    field.focus();
    const whole = field.step === "1" ? "a whole number" : "a number";
    throw new Trouble(`${NAMES[field.id]} must be ${whole} from ${field.min} to ${field.max}. Give another.`);
  }
  return Number(field.value);
}
