/* Views: a colour for every level, the level of every character, and the legend. */

import { dequantize } from "../activations.js";
import { formatSigned } from "../format.js";
import { STEPS_PER_BIT, arrays, bitsAt, data } from "./data.js";

const SURPRISAL_LEVELS = 32, LEVELS = 20, FULL_BITS = 6;

const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/** Interpolate `steps` + 1 colours between the stops listed in a CSS property. */
function createRamp(property, steps) {
  const stops = getComputedStyle(document.documentElement).getPropertyValue(property).trim().split(/\s+/).map(channels);
  return Array.from({ length: steps + 1 }, (_, step) => {
    const at = (step / steps) * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(at));
    const mixed = stops[i].map((value, k) => Math.round(value + (stops[i + 1][k] - value) * (at - i)));
    return `rgb(${mixed.join(" ")})`;
  });
}

/** Return the colours from one property to another, and the level of a value from -1 to 1. */
const createScale = (low, high) => ({
  plain: LEVELS,
  colours: [...createRamp(low, LEVELS).reverse(), ...createRamp(high, LEVELS).slice(1)],
  levelOf: (value) => LEVELS + Math.round(LEVELS * Math.max(-1, Math.min(1, value))),
});

export function surprisalView() {
  return {
    kind: "surprisal", unit: null, plain: 0, colours: createRamp("--surprisal-stops", SURPRISAL_LEVELS),
    ticks: ["0", "2", "4", "6", "8 or more bits"],
    description: "Surprisal of each character. The stronger the colour, the less expected it was.",
    level: (n) => Math.min(SURPRISAL_LEVELS, Math.round((bitsAt(n) ?? 0) * SURPRISAL_LEVELS / 8)),
  };
}

/** Which of counting and network contributes more to a character, by up to FULL_BITS bits; a negative contribution is none. */
export function priorView() {
  const scale = createScale("--counting-stops", "--network-stops");
  const contribution = (name, n) => Math.max(0, arrays[name][n]) / STEPS_PER_BIT / FULL_BITS;
  return {
    ...scale, kind: "prior", unit: null, ticks: [`${FULL_BITS} bits more counting`, "equal", `${FULL_BITS} bits more network`],
    description: "What predicts each character: amber where counting contributes more to its probability, blue where the network does.",
    level: (n) => scale.levelOf(contribution("prior-network", n) - contribution("prior-counting", n)),
  };
}

/** The colour of the contribution of "counting" or "network" in bits. */
export function contributionColour(name, bits) {
  return createRamp(`--${name}-stops`, LEVELS)[Math.round(LEVELS * Math.max(0, Math.min(1, bits / FULL_BITS)))];
}

export function unitView(unit, codes) {
  const { name, range: largest } = data.units[unit], scale = createScale("--falls-stops", "--rises-stops");
  const levels = Uint8Array.from({ length: 256 }, (_, code) => scale.levelOf(largest ? dequantize(code) / largest : 0));
  return {
    ...scale, kind: "unit", unit, codes, ticks: [formatSigned(-largest), "0", formatSigned(largest)],
    description: `Activation of ${name} after each character. Full colour is its largest absolute value in this text.`,
    level: (n) => levels[codes[n]],
  };
}
