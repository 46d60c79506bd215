
"use strict";
(() => {
  const STEPS_PER_BIT = 1024, NO_SURPRISAL = 0xffff, ZERO_CODE = 127, SURPRISAL_LEVELS = 32, UNIT_LEVELS = 20, FULL_BITS = 6, MAX_NODE = 400;
  const element = (id) => document.getElementById(id);
  const data = JSON.parse(element("data").textContent);
  const text = element("text"), canvas = text.querySelector("canvas"), cursor = element("cursor");

  // ---- Arrays ----

  /** Decode a block: base64, then gzip. */
  async function decodeBlock(id) {
    const binary = atob(element(id).textContent), packed = new Uint8Array(binary.length);
    for (let i = 0; i < packed.length; i++) packed[i] = binary.charCodeAt(i);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }
  const INDEX = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[data.indexBytes];
  let indices, surprisal, candidates, probabilities;
  let prior = null; // of a network with an n-gram prior: surprisal, matched orders and contributions
  let firstKnown; // position of the first known character, or the length of the text

  // ---- Positions of characters ----

  /*
   * A chunk is a text node; the sign at the end of a line is a chunk of one character. Chunks are short, so that only
   * those in view have to be measured. Characters are code points, and those beyond U+FFFF are two code units of a node.
   */
  const chunks = [];
  function splitRows() {
    let first = 0;
    const add = (node, sign) => {
      const wide = /[\ud800-\udbff]/.test(node.data), count = wide ? [...node.data].length : node.length;
      chunks.push({ node, sign, wide, first, count, boxes: null });
      first += count;
    };
    for (const row of element("rows").children) {
      for (let node = row.firstChild; node; node = node.nextSibling) {
        if (node.nodeType !== Node.TEXT_NODE) { add(node.firstChild, true); break; } // the line feed itself follows
        if (node.length > MAX_NODE) node.splitText(/[\ud800-\udbff]/.test(node.data[MAX_NODE - 1]) ? MAX_NODE + 1 : MAX_NODE);
        add(node, false);
      }
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
  const chunkOf = (n) => chunks[findFirst(chunks.length, (i) => chunks[i].first > n) - 1];

  const range = document.createRange();
  let charWidth = 0; // of plain ASCII text
  /** Measure left, top, width and height of every character of a chunk, relative to the text. */
  function measureBoxes(chunk) {
    if (chunk.boxes) return chunk.boxes;
    const boxes = new Float32Array(4 * chunk.count), corner = text.getBoundingClientRect();
    const put = (i, left, box, width) => boxes.set([left - corner.left, box.top - corner.top, width, box.height], 4 * i);
    range.selectNodeContents(chunk.node);
    const lines = /^[ -~]*$/.test(chunk.node.data) ? [...range.getClientRects()] : [];
    const counts = lines.map((line) => Math.round(line.width / charWidth));
    if (chunk.count === counts.reduce((sum, count) => sum + count, 0)) { // all of equal width: the fast path
      let i = 0;
      lines.forEach((line, l) => { for (let k = 0; k < counts[l]; k++, i++) put(i, line.left + k * charWidth, line, charWidth); });
    } else {
      let at = 0;
      for (let i = 0; i < chunk.count; i++) {
        range.setStart(chunk.node, at);
        at += chunk.wide && chunk.node.data.codePointAt(at) > 0xffff ? 2 : 1;
        range.setEnd(chunk.node, at);
        const box = range.getBoundingClientRect();
        put(i, box.left, box, box.width);
      }
    }
    return (chunk.boxes = boxes);
  }
  function boxOf(n) {
    const chunk = chunkOf(n), i = 4 * (n - chunk.first), all = measureBoxes(chunk);
    return { left: all[i], top: all[i + 1], width: all[i + 2], height: all[i + 3] };
  }
  function resetBoxes() {
    const probe = document.createElement("span");
    probe.textContent = "x".repeat(20);
    element("rows").append(probe);
    charWidth = probe.getBoundingClientRect().width / 20;
    probe.remove();
    for (const chunk of chunks) chunk.boxes = null;
  }
  /** Return the chunks between two vertical positions, relative to the top of the window. */
  function chunksBetween(top, bottom) {
    const box = (i) => { range.selectNodeContents(chunks[i].node); return range.getBoundingClientRect(); };
    const from = findFirst(chunks.length, (i) => box(i).bottom > top);
    return chunks.slice(from, findFirst(chunks.length, (i) => box(i).top > bottom));
  }

  // ---- Colours ----

  const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  /** Interpolate `steps` + 1 colours between the stops listed in a CSS property. */
  function colourRamp(property, steps) {
    const stops = getComputedStyle(document.documentElement).getPropertyValue(property).trim().split(/\s+/).map(channels);
    return Array.from({ length: steps + 1 }, (_, step) => {
      const at = (step / steps) * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(at));
      const mixed = stops[i].map((value, k) => Math.round(value + (stops[i + 1][k] - value) * (at - i)));
      return `rgb(${mixed.join(" ")})`;
    });
  }
  const dequantize = (code) => { const d = (code - ZERO_CODE) / ZERO_CODE; return d * Math.abs(d); };
  const formatSigned = (value) => {
    const digits = Math.abs(value).toFixed(2);
    return Number(digits) === 0 ? digits : (value < 0 ? "−" : "+") + digits;
  };

  /** A view: a colour for every level, the level of every character, and the legend. */
  function surprisalView() {
    return {
      kind: "surprisal", unit: null, plain: 0, colours: colourRamp("--surprisal", SURPRISAL_LEVELS), ticks: ["0", "2", "4", "6", "8 or more bits"],
      description: "Surprisal of each character. The stronger the colour, the less expected it was.",
      level: (n) => surprisal[n] === NO_SURPRISAL ? 0 : Math.min(SURPRISAL_LEVELS, (surprisal[n] + STEPS_PER_BIT / 8) >> 8),
    };
  }
  /** Which of counting and network contributes more to a character, by up to FULL_BITS bits; a negative contribution is none. */
  function priorView() {
    const level = (bits) => UNIT_LEVELS + Math.round(UNIT_LEVELS * Math.max(-1, Math.min(1, bits / FULL_BITS)));
    return {
      kind: "prior", unit: null, plain: UNIT_LEVELS, ticks: [`${FULL_BITS} bits more counting`, "equal", `${FULL_BITS} bits more network`],
      colours: [...colourRamp("--counting", UNIT_LEVELS).reverse(), ...colourRamp("--network", UNIT_LEVELS).slice(1)],
      description: "What predicts each character: amber where counting contributes more to its probability, blue where the network does.",
      level: (n) => level((Math.max(0, prior.network[n]) - Math.max(0, prior.counting[n])) / STEPS_PER_BIT),
    };
  }
  function unitView(unit, codes) {
    const { name, range: largest } = data.units[unit];
    const level = Uint8Array.from({ length: 256 }, (_, code) =>
      largest ? UNIT_LEVELS + Math.round(UNIT_LEVELS * Math.max(-1, Math.min(1, dequantize(code) / largest))) : UNIT_LEVELS);
    return {
      kind: "unit", unit, codes, plain: UNIT_LEVELS, ticks: [formatSigned(-largest), "0", formatSigned(largest)],
      colours: [...colourRamp("--falls", UNIT_LEVELS).reverse(), ...colourRamp("--rises", UNIT_LEVELS).slice(1)],
      description: `Activation of ${name} after each character. Full colour is its largest absolute value in this text.`,
      level: (n) => level[codes[n]],
    };
  }
  let view = null, underlined = null; // underlined: where the selected feature holds

  function renderLegend() {
    element("scale").replaceChildren(...view.colours.map((colour) => {
      const part = document.createElement("i");
      part.style.background = colour;
      return part;
    }));
    element("scale").setAttribute("aria-label", `Colours from ${view.ticks[0]} to ${view.ticks.at(-1)}`);
    element("ticks").replaceChildren(...view.ticks.map((tick) => {
      const part = document.createElement("span");
      part.textContent = tick;
      return part;
    }));
    element("scale-description").textContent = view.description;
  }

  // ---- Painting ----

  let painted = { from: 0, to: 0 }, near = [];
  /** Paint what is in view and about one window above and below; unless forced, only where that is not painted yet. */
  function paint(force) {
    const area = text.getBoundingClientRect();
    const top = Math.max(0, -area.top), bottom = Math.min(area.height, innerHeight - area.top);
    if (!view || (!force && top >= painted.from && bottom <= painted.to)) return;
    const scale = devicePixelRatio, height = Math.min(area.height, innerHeight * (scale > 2 ? 2 : 3));
    const from = Math.max(0, Math.min(area.height - height, (top + bottom - height) / 2)), to = from + height;
    painted = { from, to };
    if (canvas.width !== Math.ceil(area.width * scale) || canvas.height !== Math.ceil(height * scale)) {
      canvas.width = Math.ceil(area.width * scale);
      canvas.height = Math.ceil(height * scale);
      canvas.style.width = `${canvas.width / scale}px`;
      canvas.style.height = `${canvas.height / scale}px`;
    }
    const offset = Math.round(from * scale) / scale;
    canvas.style.transform = `translateY(${offset}px)`;
    near = chunksBetween(from + area.top, to + area.top);
    const rectangles = view.colours.map(() => []), lines = [];
    for (const chunk of near) {
      const all = measureBoxes(chunk);
      for (let i = 0, n = chunk.first; i < chunk.count; i++, n++) {
        const level = view.level(n);
        if (level !== view.plain) rectangles[level].push(all.subarray(4 * i, 4 * i + 4));
        if (underlined && underlined[n]) lines.push(all.subarray(4 * i, 4 * i + 4));
      }
    }
    const pen = canvas.getContext("2d");
    const fill = (x, y, width, tall) => { // aligned to pixels, or seams would show between neighbours
      const left = Math.round(x * scale), up = Math.round((y - offset) * scale);
      pen.fillRect(left, up, Math.round((x + width) * scale) - left, Math.round((y - offset + tall) * scale) - up);
    };
    pen.clearRect(0, 0, canvas.width, canvas.height);
    const leading = parseFloat(getComputedStyle(element("rows")).lineHeight);
    view.colours.forEach((colour, level) => {
      pen.fillStyle = colour;
      for (const [x, y, width, tall] of rectangles[level]) fill(x, y - (leading - tall) / 2, width, leading);
    });
    pen.fillStyle = getComputedStyle(text).color;
    for (const [x, y, width, tall] of lines) fill(x, y + (leading + tall) / 2 - 2, width, 1.5);
  }
  function setView(next) {
    view = next;
    element(`by-${view.kind}`).checked = true;
    if (view.unit !== null) element("unit").value = view.unit;
    for (const button of document.querySelectorAll("[data-unit]")) {
      button.setAttribute("aria-pressed", view.unit !== null && Number(button.dataset.unit) === view.unit);
    }
    renderLegend();
    paint(true);
    if (position !== null) showPosition(position);
  }
  const activations = new Map();
  let latestRequest = 0;
  async function showUnit(unit) {
    const request = ++latestRequest;
    if (!activations.has(unit)) activations.set(unit, new Uint8Array(await decodeBlock(`unit-${unit}`)));
    if (request === latestRequest) setView(unitView(unit, activations.get(unit)));
  }
  function showSurprisal() { latestRequest++; setView(surprisalView()); }
  function showPrior() { latestRequest++; setView(priorView()); }

  // ---- The selected character ----

  let position = null;
  const formatPercent = (p) => (p < 0.0005 ? "<0.1" : (100 * p).toFixed(1)) + " %";
  const create = (tag, name, content) => {
    const node = document.createElement(tag);
    node.className = name;
    node.textContent = content;
    return node;
  };
  /** Return the most likely characters at a position; none before the first known character was read. */
  function predictionsAt(n) {
    const predictions = [];
    if (n <= firstKnown) return predictions;
    for (let c = 0; c < data.candidates; c++) {
      predictions.push({ index: candidates[c * data.chars + n], p: probabilities[c * data.chars + n] / 0xffff });
    }
    return predictions;
  }
  const isKnown = (n) => indices[n] < data.knownChars;
  /** Return probability and surprisal of a character in words. */
  function describeSurprisal(n, p) {
    if (n === firstKnown) return n === 0 ? "First character, not predicted" : "First known character, not predicted";
    return `${isKnown(n) ? `Probability ${formatPercent(p)}` : "Unknown character"}, ${(surprisal[n] / STEPS_PER_BIT).toFixed(2)} bits`;
  }
  /** Select a position, and show its character and predictions. */
  function showPosition(n) {
    position = n;
    const [sign, name] = data.alphabet[indices[n]], predictions = predictionsAt(n);
    const actual = predictions.find((e) => e.index === indices[n]) ?? { index: indices[n], p: 2 ** (-surprisal[n] / STEPS_PER_BIT) };
    element("hint").hidden = true;
    element("selected").hidden = false;
    element("character").querySelector("bdi").textContent = sign;
    element("character").querySelector("b").textContent = describeSurprisal(n, actual.p);
    element("character").querySelector("small").textContent = `${name}; character ${(n + 1).toLocaleString("en")}`;
    const output = element("character").querySelector("output");
    output.hidden = view.unit === null;
    if (view.unit !== null) output.textContent = formatSigned(dequantize(view.codes[n]));
    output.style.background = view.colours[view.level(n)];
    const listed = n <= firstKnown || predictions.includes(actual) || !isKnown(n);
    const rows = listed ? predictions : [...predictions, actual];
    element("predictions").replaceChildren(...rows.map((e) => {
      const row = create("li", e === actual ? "actual" : "", ""), bar = create("i", "bar", ""), value = create("data", "", formatPercent(e.p));
      value.value = e.p;
      bar.append(create("i", "", ""));
      bar.style.setProperty("--fraction", `${100 * e.p}%`);
      row.title = data.alphabet[e.index][1];
      row.append(create("span", "sign", data.alphabet[e.index][0]), bar, value);
      return row;
    }));
    if (prior) showOrigin(n);
    const box = boxOf(n);
    cursor.hidden = false;
    cursor.style.transform = `translate(${box.left - 2}px, ${box.top - 2}px)`;
    cursor.style.width = `${Math.max(2, box.width) + 4}px`;
    cursor.style.height = `${box.height + 4}px`;
  }
  /** Return what counting alone predicts at a position in words; null where nothing precedes, or the character is unknown. */
  function describeCounting(n) {
    if (n === firstKnown || !isKnown(n)) return null;
    const bits = prior.surprisal[n] / STEPS_PER_BIT, order = prior.matched[n];
    const context = order === 0 ? "no context known" : `longest context known: ${order} character${order === 1 ? "" : "s"}`;
    return `Counting alone ${formatPercent(2 ** -bits)}, ${bits.toFixed(2)} bits; ${context}`;
  }
  /** Show what counting and network contribute to the selected character. */
  function showOrigin(n) {
    const words = describeCounting(n);
    element("origin").hidden = words === null;
    if (words === null) return;
    for (const [side, name] of [["counting", "--counting"], ["network", "--network"]]) {
      const bits = prior[side][n] / STEPS_PER_BIT, ramp = colourRamp(name, UNIT_LEVELS);
      element(`origin-${side}`).textContent = formatSigned(bits);
      element(`origin-${side}`).style.background = ramp[Math.round(UNIT_LEVELS * Math.max(0, Math.min(1, bits / FULL_BITS)))];
    }
    element("origin-alone").textContent = words;
  }
  /** Announce the selected character to screen readers. */
  function announce(n) {
    const name = (index) => { const [sign, long] = data.alphabet[index]; return /^\w$/.test(sign) ? sign : long; };
    const predictions = predictionsAt(n).map((e) => `${name(e.index)} ${formatPercent(e.p)}`);
    const unit = view.unit === null ? "" : `, activation ${formatSigned(dequantize(view.codes[n]))}`;
    const words = prior && describeCounting(n), counting = words ? `. ${words}` : "";
    element("announcement").textContent =
      `${name(indices[n])}, ${element("character").querySelector("b").textContent}${unit}${counting}. Most likely: ${predictions.join(", ")}`;
  }
  /** Find the character nearest to a point, relative to the text; one on the same line takes precedence. */
  function findNearest(x, y, fits = () => true) {
    let best = null, shortest = Infinity;
    for (const chunk of near) {
      const all = measureBoxes(chunk);
      for (let i = 0; i < chunk.count; i++) {
        const left = all[4 * i], up = all[4 * i + 1];
        const dx = Math.max(0, left - x, x - left - all[4 * i + 2]), dy = Math.max(0, up - y, y - up - all[4 * i + 3]);
        const distance = dx + 1000 * dy;
        if (distance < shortest && fits(up)) { shortest = distance; best = chunk.first + i; }
      }
    }
    return best;
  }
  function onPointer(event) {
    const corner = text.getBoundingClientRect(), n = findNearest(event.clientX - corner.left, event.clientY - corner.top);
    if (n !== null && n !== position) showPosition(n);
  }

  // ---- Keys ----

  /** Return the position that a key moves to from the selected one, or null. */
  function targetOf(key) {
    if (position === null) return null;
    const box = boxOf(position), row = chunkOf(position).node.parentElement.closest("#rows > div");
    const inRow = chunks.filter((chunk) => row.contains(chunk.node));
    const x = box.left + box.width / 2, middle = box.top + box.height / 2;
    switch (key) {
      case "ArrowLeft": return Math.max(0, position - 1);
      case "ArrowRight": return Math.min(data.chars - 1, position + 1);
      case "ArrowUp": return findNearest(x, middle - box.height, (top) => top + box.height / 2 < box.top) ?? position;
      case "ArrowDown": return findNearest(x, middle + box.height, (top) => top > middle) ?? position;
      case "Home": return inRow[0].first;
      case "End": return inRow.at(-1).first + inRow.at(-1).count - 1;
      default: return null;
    }
  }
  function onKeyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const first = position === null && event.key.startsWith("Arrow");
    const n = first ? findNearest(0, 1 - text.getBoundingClientRect().top) : targetOf(event.key);
    if (n === null) return;
    event.preventDefault();
    showPosition(n);
    announce(n);
    const box = boxOf(n), corner = text.getBoundingClientRect(), floor = innerHeight - coveredHeight();
    const over = box.top + corner.top - 40, under = box.top + box.height + corner.top + 40 - floor;
    if (over < 0) scrollBy(0, over); else if (under > 0) scrollBy(0, under);
  }
  /** Return the height of the panel of the selected character where it covers the bottom of a small window. */
  function coveredHeight() {
    const panel = element("position");
    return getComputedStyle(panel).position === "fixed" ? panel.offsetHeight : 0;
  }

  // ---- The units ----

  const barWidth = (score, isBinary) => `${100 * Math.max(0, isBinary ? 2 * score - 1 : score)}%`;
  function fillBar(bar, best, isBinary) {
    bar.style.setProperty("--fraction", barWidth(best.score, isBinary));
    bar.style.setProperty("--baseline", barWidth(best.baseline, isBinary));
    bar.parentElement.classList.toggle("below-baseline", best.score <= best.baseline);
  }
  const describeScore = (best, feature) =>
    `baseline ${best.baseline.toFixed(2)}; ${best.rises ? "blue" : "red"} where the feature ${feature.isBinary ? "holds" : "is large"}`;
  function createUnitButton(best, feature) {
    const button = create("button", "", ""), bar = create("i", "bar", "");
    button.type = "button";
    bar.append(create("i", "", ""));
    button.append(create("span", "", best.name), bar, create("data", "", best.score.toFixed(2)));
    fillBar(bar, best, feature.isBinary);
    button.title = describeScore(best, feature);
    if (best.unit === null) button.disabled = true;
    else { button.dataset.unit = best.unit; button.addEventListener("click", () => showUnit(best.unit)); }
    return button;
  }
  let open = null;
  async function toggleFeature(n) {
    const feature = data.features[n], details = element(`details-${n}`), same = open === n;
    if (open !== null) {
      element(`details-${open}`).hidden = true;
      element(`choose-${open}`).setAttribute("aria-expanded", "false");
    }
    open = same ? null : n;
    underlined = null;
    if (same) { paint(true); return; }
    details.hidden = false;
    element(`choose-${n}`).setAttribute("aria-expanded", "true");
    const best = feature.best[0];
    const score = `${feature.isBinary ? "AUC" : "Rank correlation"} ${best.score.toFixed(2)}`;
    details.replaceChildren(create("p", "", feature.description), create("p", "", `${score}; ${describeScore(best, feature)}.`));
    if (feature.isBinary) {
      const label = create("label", "", "Underline where it holds"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", async () => { underlined = box.checked ? await loadMask(n) : null; paint(true); });
      label.prepend(box);
      details.append(label);
      underlined = await loadMask(n);
    }
    details.append(...feature.best.map((each) => createUnitButton(each, feature)));
    const inPage = feature.best.find((each) => each.unit !== null);
    if (inPage) await showUnit(inPage.unit); else paint(true);
  }
  const masks = new Map();
  async function loadMask(n) {
    if (!masks.has(n)) masks.set(n, new Uint8Array(await decodeBlock(`feature-${n}`)));
    return masks.get(n);
  }

  // ---- Start ----

  function listUnits() {
    element("unit").replaceChildren(...data.units.map((unit, n) => {
      const option = create("option", "", unit.name);
      option.value = n;
      return option;
    }));
    data.features.forEach((feature, n) => {
      const button = element(`choose-${n}`);
      if (!button) return;
      fillBar(button.querySelector(".bar"), feature.best[0], feature.isBinary);
      button.addEventListener("click", () => toggleFeature(n));
    });
  }
  function listen() {
    let pending = null;
    const oncePerFrame = (work) => { if (!pending) requestAnimationFrame(() => { const now = pending; pending = null; now(); }); pending = work; };
    text.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") oncePerFrame(() => onPointer(event)); });
    text.addEventListener("click", onPointer);
    text.addEventListener("keydown", onKeyDown);
    addEventListener("scroll", () => paint(false), { passive: true });
    let width = 0;
    new ResizeObserver(() => {
      const resized = text.clientWidth !== width;
      width = text.clientWidth;
      if (resized) resetBoxes();
      paint(true);
      if (position !== null) showPosition(position);
    }).observe(text);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      setView(view.kind === "unit" ? unitView(view.unit, view.codes) : view.kind === "prior" ? priorView() : surprisalView());
    });
    element("by-surprisal").addEventListener("change", showSurprisal);
    if (prior) element("by-prior").addEventListener("change", showPrior);
    element("by-unit").addEventListener("change", () => showUnit(Number(element("unit").value)));
    element("unit").addEventListener("change", () => showUnit(Number(element("unit").value)));
  }
  async function start() {
    const [a, b, c, d] = await Promise.all(["indices", "surprisal", "candidates", "probabilities"].map(decodeBlock));
    indices = new INDEX(a); surprisal = new Uint16Array(b); candidates = new INDEX(c); probabilities = new Uint16Array(d);
    if (data.order > 0) {
      const [e, f, g, h] = await Promise.all(["surprisal", "matched", "counting", "network"].map((name) => decodeBlock(`prior-${name}`)));
      prior = { surprisal: new Uint16Array(e), matched: new Uint8Array(f), counting: new Int16Array(g), network: new Int16Array(h) };
    }
    firstKnown = surprisal.includes(NO_SURPRISAL) ? surprisal.indexOf(NO_SURPRISAL) : data.chars;
    if (matchMedia("(max-width: 58rem)").matches) element("units").open = false;
    splitRows();
    resetBoxes();
    listUnits();
    showSurprisal();
    listen();
    performance.mark("coloured");
  }
  start();
})();
