/* Arrays in a page, which are gzipped and in base64. */

/** Return the bytes of an array. */
export async function decodeBytes(text) {
  const packed = Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
