/* The network, one character at a time: the cells of `elman.network.cells`, and the output layer with the prior. */

import { prepareProducts } from "./matrix.js";
import { NgramPrior } from "./prior.js";

const sigmoid = (a) => 1 / (1 + Math.exp(-a));

/**
 * By cell, what sets the state (h and, for lstm, s) of a layer of m units in place, given the products `i` = U x + b and
 * `k` = W h, which have m numbers per gate, and the bias d of gru.
 */
const CELLS = {
  rnn: (m, state, i, k) => {
    for (let j = 0; j < m; j++) state[j] = Math.tanh(i[j] + k[j]);
  },
  gru: (m, state, i, k, d) => {
    for (let j = 0; j < m; j++) {
      const r = sigmoid(i[j] + k[j]), z = sigmoid(i[m + j] + k[m + j]);
      const n = Math.tanh(i[2 * m + j] + r * (k[2 * m + j] + d[j]));
      state[j] = (1 - z) * n + z * state[j];
    }
  },
  lstm: (m, state, i, k) => {
    const a = (gate, j) => i[gate * m + j] + k[gate * m + j];
    for (let j = 0; j < m; j++) {
      const s = sigmoid(a(1, j)) * state[m + j] + sigmoid(a(0, j)) * Math.tanh(a(2, j));
      state[m + j] = s;
      state[j] = sigmoid(a(3, j)) * Math.tanh(s);
    }
  },
};

class Layer {
  /** `multiplyU` and `multiplyW` return U x and W h; `state` is the part of the network's state that is the layer's. */
  constructor(cell, m, state, multiplyU, multiplyW, { b, d }) {
    Object.assign(this, { m, state, multiplyU, multiplyW, b: b.values, d: d?.values, update: CELLS[cell] });
    this.h = state.subarray(0, m);
    this.i = new Float32Array(this.b.length);
  }

  /** Read a character, of the first layer, or the output of the layer below. */
  read(x) {
    const { b, i } = this, Ux = this.multiplyU(x);
    for (let j = 0; j < i.length; j++) i[j] = Ux[j] + b[j];
    this.update(this.m, this.state, i, this.multiplyW(this.h), this.d);
    return this.h;
  }
}

/** Return a function that returns a column of a matrix: its product with a one-hot vector. */
function prepareColumns({ shape: [rows, columns], values }) {
  const transposed = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) transposed[c * rows + r] = values[r * columns + c];
  return (c) => transposed.subarray(c * rows, (c + 1) * rows);
}

export class Network {
  /**
   * `description` has the cell, its sizes and the n-gram prior, or null for it; `arrays` the parameters by name, with
   * shape and values, the initial state h, and the table of the prior.
   */
  constructor({ cell, layers, hidden_size: m, characters, lines, ngrams }, arrays) {
    const ofLayer = (n, name) => arrays[name + (n ? n + 1 : "")], size = arrays.h.values.length / layers;
    const numbers = [...Array(layers).keys()], above = numbers.slice(1).map((n) => ofLayer(n, "U"));
    const products = prepareProducts([arrays.V, ...numbers.map((n) => ofLayer(n, "W")), ...above]);
    const multiplyU = [prepareColumns(arrays.U), ...products.splice(1 + layers)];
    const [multiplyV, ...multiplyW] = products;
    this.initial = arrays.h.values;
    this.state = new Float32Array(this.initial.length);
    this.layers = numbers.map((n) => {
      const state = this.state.subarray(n * size, (n + 1) * size), biases = { b: ofLayer(n, "b"), d: ofLayer(n, "d") };
      return new Layer(cell, m, state, multiplyU[n], multiplyW[n], biases);
    });
    const K = arrays.V.shape[0], resetAt = lines ? characters.indexOf("\n") : null;
    Object.assign(this, { multiplyV, resetAt, c: arrays.c.values, alpha: arrays.alpha?.values });
    this.prior = ngrams && new NgramPrior({ ...ngrams, resetAt, K }, arrays);
    this.logits = new Float32Array(K);
    this.counting = new Float32Array(K);
  }

  /** Return to the initial state. */
  start() {
    this.state.set(this.initial);
    this.prior?.start(this.resetAt);
  }

  read(x) {
    if (x === this.resetAt) this.state.fill(0);
    let input = x;
    for (const layer of this.layers) input = layer.read(input);
    this.prior?.append(x);
  }

  /** Set `logits` to the logits of the next character, and `counting` to the prior's part of them. */
  predict() {
    const { c, logits, counting, prior } = this, Vh = this.multiplyV(this.layers.at(-1).h);
    if (prior) {
      const alpha = this.alpha[prior.predict()];
      for (let k = 0; k < counting.length; k++) counting[k] = alpha * prior.logQ[k];
    }
    for (let k = 0; k < logits.length; k++) logits[k] = Vh[k] + c[k] + counting[k];
  }
}
