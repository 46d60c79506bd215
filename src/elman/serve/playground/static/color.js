/* The legend of the colours of the text. */

const byId = (id) => document.getElementById(id);
const STEPS = 24;

/** Show what the colours mean: those of "surprisal", of a "unit" with a name, or "none". */
export function showLegend(kind, unitName) {
  const { from, ticks, note } = {
    surprisal: { from: 0, ticks: ["0", "2", "4", "6", "8 or more bits"], note: "1 bit: probability 1/2. 8 bits: probability 1/256." },
    unit: { from: -1, ticks: ["−1", "0", "+1"], note: `${unitName}, after each character is read.` },
    none: { from: 0, ticks: [], note: "" },
  }[kind];
  byId("scale").hidden = kind === "none";
  byId("scale").dataset.colour = kind;
  byId("scale").replaceChildren(...Array.from({ length: STEPS }, (_, i) => {
    const step = document.createElement("span"), value = from + (1 - from) * i / (STEPS - 1);
    step.style.setProperty("--level", Math.abs(value).toFixed(3));
    step.classList.toggle("negative", value < 0);
    return step;
  }));
  byId("ticks").replaceChildren(...ticks.map((text) => {
    const tick = document.createElement("span");
    tick.textContent = text;
    return tick;
  }));
  byId("scale-note").textContent = note;
}
