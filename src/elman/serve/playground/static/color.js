/* What the colours of the text stand for. */

const byId = (id) => document.getElementById(id);
const STEPS = 24;

/** Show what colours mean: of surprise, of a unit with this name, or none. */
export function legend(kind, unit) {
  const { from, ticks, says } = {
    surprise: { from: 0, ticks: ["0", "2", "4", "6", "8 or more bits"], says: "1 bit: an even chance. 8 bits: one in 256." },
    unit: { from: -1, ticks: ["−1", "0", "+1"], says: `${unit}, after it has read each character.` },
    nothing: { from: 0, ticks: [], says: "" },
  }[kind];
  byId("scale").hidden = kind === "nothing";
  byId("scale").dataset.colour = kind;
  byId("scale").replaceChildren(...Array.from({ length: STEPS }, (_, i) => {
    const part = document.createElement("span"), value = from + (1 - from) * i / (STEPS - 1);
    part.style.setProperty("--level", Math.abs(value).toFixed(3));
    part.classList.toggle("falls", value < 0);
    return part;
  }));
  byId("ticks").replaceChildren(...ticks.map((tick) => {
    const part = document.createElement("span");
    part.textContent = tick;
    return part;
  }));
  byId("scale-says").textContent = says;
}
