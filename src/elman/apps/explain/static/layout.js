/*
 * Where the characters of the text are. A chunk is a text node; the sign at the end of a line, and the symbol of a mask,
 * is a chunk of one character. Chunks are short, so that only those in view have to be measured. Characters are code points, and those
 * beyond U+FFFF are two code units of a node.
 */

import { byId, create } from "../dom.js";

const MAX_NODE = 400;
const WIDE = /[\ud800-\udbff]/;

export class Layout {
  constructor(text, rows) {
    Object.assign(this, { text, chunks: [], range: document.createRange(), charWidth: 0 }); // charWidth: of plain ASCII
    this.rows = rows;
    for (const row of rows.children) {
      for (let node = row.firstChild; node; node = node.nextSibling) {
        if (node.nodeType !== Node.TEXT_NODE) {
          this.add(node.firstChild);
          if (node.localName === "b") break; // the line feed itself follows
          continue;
        }
        if (node.length > MAX_NODE) node.splitText(WIDE.test(node.data[MAX_NODE - 1]) ? MAX_NODE + 1 : MAX_NODE);
        this.add(node);
      }
    }
    this.reset();
  }

  add(node) {
    const wide = WIDE.test(node.data), last = this.chunks.at(-1), first = last ? last.first + last.count : 0;
    this.chunks.push({ node, wide, first, count: wide ? [...node.data].length : node.length, boxes: null });
  }

  /** Discard all measurements, as the width of the text has changed. */
  reset() {
    const probe = create("span", {}, "x".repeat(20));
    this.rows.append(probe);
    this.charWidth = probe.getBoundingClientRect().width / 20;
    probe.remove();
    for (const chunk of this.chunks) chunk.boxes = null;
  }

  /** Measure left, top, width and height of every character of a chunk, relative to the text. */
  measure(chunk) {
    if (chunk.boxes) return chunk.boxes;
    const { range, charWidth } = this, { node, count, wide } = chunk;
    const boxes = new Float32Array(4 * count), corner = this.text.getBoundingClientRect();
    const put = (i, left, box, width) => boxes.set([left - corner.left, box.top - corner.top, width, box.height], 4 * i);
    range.selectNodeContents(node);
    const lines = /^[ -~]*$/.test(node.data) ? [...range.getClientRects()] : [];
    const counts = lines.map((line) => Math.round(line.width / charWidth));
    if (count === counts.reduce((sum, each) => sum + each, 0)) { // all of equal width: the fast path
      let i = 0;
      lines.forEach((line, l) => { for (let k = 0; k < counts[l]; k++, i++) put(i, line.left + k * charWidth, line, charWidth); });
    } else {
      for (let i = 0, at = 0; i < count; i++) {
        range.setStart(node, at);
        at += wide && node.data.codePointAt(at) > 0xffff ? 2 : 1;
        range.setEnd(node, at);
        const box = range.getBoundingClientRect();
        put(i, box.left, box, box.width);
      }
    }
    return (chunk.boxes = boxes);
  }

  chunkOf(n) { return this.chunks[findFirst(this.chunks.length, (i) => this.chunks[i].first > n) - 1]; }

  boxOf(n) {
    const chunk = this.chunkOf(n), [left, top, width, height] = this.measure(chunk).subarray(4 * (n - chunk.first));
    return { left, top, width, height };
  }

  /** Return the chunks between two vertical positions, relative to the top of the window. */
  chunksBetween(top, bottom) {
    const box = (i) => { this.range.selectNodeContents(this.chunks[i].node); return this.range.getBoundingClientRect(); };
    const from = findFirst(this.chunks.length, (i) => box(i).bottom > top);
    return this.chunks.slice(from, findFirst(this.chunks.length, (i) => box(i).top > bottom));
  }

  /** Return the first and the last character of the line, up to a line feed, of a character. */
  rowOf(n) {
    const row = this.chunkOf(n).node.parentElement.closest("#rows > div");
    const inRow = this.chunks.filter((chunk) => row.contains(chunk.node)), last = inRow.at(-1);
    return [inRow[0].first, last.first + last.count - 1];
  }

  /** Find the character of some chunks that is nearest to a point; one on the same line takes precedence. */
  findNearest(chunks, x, y, fits = () => true) {
    let best = null, shortest = Infinity;
    for (const chunk of chunks) {
      const all = this.measure(chunk);
      for (let i = 0; i < chunk.count; i++) {
        const left = all[4 * i], top = all[4 * i + 1];
        const dx = Math.max(0, left - x, x - left - all[4 * i + 2]), dy = Math.max(0, top - y, y - top - all[4 * i + 3]);
        const distance = dx + 1000 * dy;
        if (distance < shortest && fits(top)) { shortest = distance; best = chunk.first + i; }
      }
    }
    return best;
  }
}

/** Binary search for the first i in [0, n) for which a monotonic test holds; n if there is none. */
function findFirst(n, test) {
  let from = 0, to = n;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (test(middle)) to = middle; else from = middle + 1;
  }
  return from;
}
