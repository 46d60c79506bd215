/*
 * Products of a matrix and a vector in WebAssembly, whose vector instructions take a tenth of the time of a loop in
 * JavaScript. The function is assembled here.
 */

const LANES = 4, VECTORS = 8, BLOCK = LANES * VECTORS; // a block is so many rows, column by column
const I32 = 0x7f, V128 = 0x7b, EMPTY = 0x40, FUNCTION = 0x60;
const [WEIGHTS, X, X_END, PRODUCT, PRODUCT_END, AT, SUMS, FACTOR] = [0, 1, 2, 3, 4, 5, 6, 6 + VECTORS]; // the locals

const get = (local) => [0x20, local], set = (local) => [0x21, local];
const increase = (local, bytes) => [...get(local), 0x41, ...unsigned(bytes, true), 0x6a, ...set(local)];
const loadVector = (offset) => [0xfd, 0x00, 0, ...unsigned(offset)];
const storeVector = (offset) => [0xfd, 0x0b, 0, ...unsigned(offset)];
const loadSplat = [0xfd, 0x09, 0, 0], zero = [0x43, 0, 0, 0, 0, 0xfd, 0x13], multiply = [0xfd, 0xe6, 1], add = [0xfd, 0xe4, 1];
/** Repeat instructions while the number in a local is below that in another. */
const repeat = (local, end, ...body) => [0x03, EMPTY, ...body.flat(), ...get(local), ...get(end), 0x49, 0x0d, 0, 0x0b];
const eachVector = (instructions) => Array.from({ length: VECTORS }, (_, n) => instructions(n)).flat();

/** Return the bytes of a number in LEB128; of a signed one, the last has a sign bit. */
function unsigned(number, isSigned = false) {
  const bytes = [];
  for (; number > (isSigned ? 0x3f : 0x7f); number >>>= 7) bytes.push((number & 0x7f) | 0x80);
  return [...bytes, number];
}

const list = (...items) => [...unsigned(items.length), ...items.flat()];
const section = (id, content) => [id, ...list(...content)];
const text = (string) => list(...Array.from(string, (character) => character.charCodeAt(0)));

/** Set the product, block by block: the sums over all columns of the weights times the number of the vector. */
const BODY = repeat(PRODUCT, PRODUCT_END,
  [...get(X), ...set(AT)],
  eachVector((n) => [...zero, ...set(SUMS + n)]),
  repeat(AT, X_END,
    [...get(AT), ...loadSplat, ...set(FACTOR)],
    eachVector((n) => [...get(SUMS + n), ...get(WEIGHTS), ...loadVector(16 * n), ...get(FACTOR), ...multiply, ...add, ...set(SUMS + n)]),
    increase(WEIGHTS, 4 * BLOCK),
    increase(AT, 4)),
  eachVector((n) => [...get(PRODUCT), ...get(SUMS + n), ...storeVector(16 * n)]),
  increase(PRODUCT, 4 * BLOCK));

function assemble() {
  const locals = list([1, I32], [VECTORS + 1, V128]), code = [...locals, ...BODY, 0x0b];
  return Uint8Array.from([
    0, ...text("asm").slice(1), 1, 0, 0, 0,
    ...section(1, list([FUNCTION, ...list(...Array(AT).fill(I32)), 0])),
    ...section(2, list([...text("page"), ...text("memory"), 2, 0, 1])),
    ...section(3, list(0)),
    ...section(7, list([...text("run"), 0, 0])),
    ...section(10, list([...unsigned(code.length), ...code])),
  ]);
}

/** Return a function for each matrix that returns its product with a vector, which the next call overwrites. */
export function prepareProducts(matrices) {
  const sizes = matrices.map(({ shape: [rows, columns] }) => ({ columns, rows: Math.ceil(rows / BLOCK) * BLOCK }));
  const numbers = sizes.reduce((sum, { rows, columns }) => sum + rows * columns + columns + rows, 0);
  const memory = new WebAssembly.Memory({ initial: Math.ceil((4 * numbers) / 0x10000) });
  const { run } = new WebAssembly.Instance(new WebAssembly.Module(assemble()), { page: { memory } }).exports;
  let end = 0;
  const reserve = (length) => new Float32Array(memory.buffer, end, (end += 4 * length) && length);
  return matrices.map(({ values, shape }, n) => {
    if (!values.length) {
      const zeros = new Float32Array(shape[0]);
      return () => zeros;
    }
    const { rows, columns } = sizes[n], weights = reserve(rows * columns), vector = reserve(columns), product = reserve(rows);
    values.forEach((value, i) => {
      const row = Math.floor(i / columns), lane = row % BLOCK;
      weights[(row - lane) * columns + (i % columns) * BLOCK + lane] = value;
    });
    const { byteOffset: x } = vector, { byteOffset: start } = product;
    return (from) => {
      vector.set(from);
      run(weights.byteOffset, x, x + 4 * columns, start, start + 4 * rows);
      return product;
    };
  });
}
