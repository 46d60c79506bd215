/* Activations of hidden units, which are stored as one byte each. */

const ZERO = 127;

/** Return an activation, from -1 to 1, from its byte. */
export function dequantize(code) {
  const distance = (code - ZERO) / ZERO;
  return distance * Math.abs(distance);
}

/** Return the byte of an activation. */
export const quantize = (value) => Math.round(ZERO + ZERO * Math.sign(value) * Math.sqrt(Math.min(1, Math.abs(value))));
