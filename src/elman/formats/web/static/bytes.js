/* Arrays in a page, gzipped and in base64, and activations of hidden units, stored as one byte each. */

const ZERO = 127;

/** Return the bytes of an array. */
export async function decodeBytes(text) {
  const characters = atob(text), packed = new Uint8Array(characters.length);
  for (let i = 0; i < packed.length; i++) packed[i] = characters.charCodeAt(i); // faster than Uint8Array.from
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** Return an activation, from -1 to 1, from its byte. */
export function dequantize(code) {
  const distance = (code - ZERO) / ZERO;
  return distance * Math.abs(distance);
}

/** Return the byte of an activation. */
export const quantize = (value) => Math.round(ZERO + ZERO * Math.sign(value) * Math.sqrt(Math.min(1, Math.abs(value))));
