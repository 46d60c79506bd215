
"use strict";
(() => {
  const BIT = 1024, UNPREDICTED = 0xffff, MIDDLE = 127, SURPRISE_LEVELS = 32, UNIT_LEVELS = 20, LONG = 400;
  const element = (id) => document.getElementById(id);
  const facts = JSON.parse(element("facts").textContent);
  const text = element("text"), canvas = text.querySelector("canvas"), cursor = element("cursor");

  // ---- Arrays ----

  /** The bytes of a block: base64, then gzip. */
  async function bytes(id) {
    const coded = atob(element(id).textContent), packed = new Uint8Array(coded.length);
    for (let i = 0; i < packed.length; i++) packed[i] = coded.charCodeAt(i);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }
  const INDEX = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[facts.bytes];
  let indices, surprise, likeliest, probabilities, start; // start: the first character that was read, or behind the last

  // ---- Where characters are ----

  /*
   * A piece is a text node, and a sign at the end of a line is a piece of one character. Pieces are short, so that
   * only those in view need be measured; characters are code points, and those beyond U+FFFF take two units of a node.
   */
  const pieces = [];
  function cutRows() {
    let first = 0;
    const add = (node, sign) => {
      const wide = /[\ud800-\udbff]/.test(node.data), count = wide ? [...node.data].length : node.length;
      pieces.push({ node, sign, wide, first, count, boxes: null });
      first += count;
    };
    for (const row of element("rows").children) {
      for (let node = row.firstChild; node; node = node.nextSibling) {
        if (node.nodeType !== Node.TEXT_NODE) { add(node.firstChild, true); break; } // what follows is the line feed itself
        if (node.length > LONG) node.splitText(/[\ud800-\udbff]/.test(node.data[LONG - 1]) ? LONG + 1 : LONG);
        add(node, false);
      }
    }
  }
  /** The least i in [0, n) for which test(i) holds, or n: it holds of all behind one of which it holds. */
  function least(n, test) {
    let from = 0, to = n;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (test(middle)) to = middle; else from = middle + 1;
    }
    return from;
  }
  const pieceOf = (n) => pieces[least(pieces.length, (i) => pieces[i].first > n) - 1];

  const range = document.createRange();
  let cell = 0; // the width of a character of plain text
  /** Left, top, width and height of every character of a piece, from the corner of the text. */
  function boxes(piece) {
    if (piece.boxes) return piece.boxes;
    const found = new Float32Array(4 * piece.count), corner = text.getBoundingClientRect();
    const put = (i, left, box, width) => found.set([left - corner.left, box.top - corner.top, width, box.height], 4 * i);
    range.selectNodeContents(piece.node);
    const lines = /^[ -~]*$/.test(piece.node.data) ? [...range.getClientRects()] : [];
    const cells = lines.map((line) => Math.round(line.width / cell));
    if (piece.count === cells.reduce((sum, count) => sum + count, 0)) { // all as wide as each other, which is fast
      let i = 0;
      lines.forEach((line, l) => { for (let k = 0; k < cells[l]; k++, i++) put(i, line.left + k * cell, line, cell); });
    } else {
      let at = 0;
      for (let i = 0; i < piece.count; i++) {
        range.setStart(piece.node, at);
        at += piece.wide && piece.node.data.codePointAt(at) > 0xffff ? 2 : 1;
        range.setEnd(piece.node, at);
        const box = range.getBoundingClientRect();
        put(i, box.left, box, box.width);
      }
    }
    return (piece.boxes = found);
  }
  function boxOf(n) {
    const piece = pieceOf(n), i = 4 * (n - piece.first), all = boxes(piece);
    return { left: all[i], top: all[i + 1], width: all[i + 2], height: all[i + 3] };
  }
  function forgetBoxes() {
    const probe = document.createElement("span");
    probe.textContent = "x".repeat(20);
    element("rows").append(probe);
    cell = probe.getBoundingClientRect().width / 20;
    probe.remove();
    for (const piece of pieces) piece.boxes = null;
  }
  /** The pieces from one height above or below the top of the window to another. */
  function piecesBetween(top, bottom) {
    const box = (i) => { range.selectNodeContents(pieces[i].node); return range.getBoundingClientRect(); };
    const from = least(pieces.length, (i) => box(i).bottom > top);
    return pieces.slice(from, least(pieces.length, (i) => box(i).top > bottom));
  }

  // ---- Colours ----

  const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  /** `steps` + 1 colours along those that a property of the style names. */
  function ramp(property, steps) {
    const stops = getComputedStyle(document.documentElement).getPropertyValue(property).trim().split(/\s+/).map(channels);
    return Array.from({ length: steps + 1 }, (_, step) => {
      const at = (step / steps) * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(at));
      const mixed = stops[i].map((value, k) => Math.round(value + (stops[i + 1][k] - value) * (at - i)));
      return `rgb(${mixed.join(" ")})`;
    });
  }
  const activation = (code) => { const d = (code - MIDDLE) / MIDDLE; return d * Math.abs(d); };
  const signed = (value) => {
    const digits = Math.abs(value).toFixed(2);
    return Number(digits) === 0 ? digits : (value < 0 ? "−" : "+") + digits;
  };

  /** What the colours show: a colour for every level, the level of every character, and the legend. */
  function bySurprise() {
    return {
      unit: null, plain: 0, colours: ramp("--surprise", SURPRISE_LEVELS), ticks: ["0", "2", "4", "6", "8 or more bits"],
      says: "0 bits: foreseen for certain. 1 bit: an even chance. 8 bits: one in 256.",
      level: (n) => surprise[n] === UNPREDICTED ? 0 : Math.min(SURPRISE_LEVELS, (surprise[n] + BIT / 8) >> 8),
    };
  }
  function byUnit(unit, codes) {
    const { name, reach } = facts.units[unit];
    const level = Uint8Array.from({ length: 256 }, (_, code) =>
      reach ? UNIT_LEVELS + Math.round(UNIT_LEVELS * Math.max(-1, Math.min(1, activation(code) / reach))) : UNIT_LEVELS);
    return {
      unit, codes, plain: UNIT_LEVELS, ticks: [signed(-reach), "0", signed(reach)],
      colours: [...ramp("--falls", UNIT_LEVELS).reverse(), ...ramp("--rises", UNIT_LEVELS).slice(1)],
      says: `Activation of ${name} after each character. Full colour is the most that it reaches in this text.`,
      level: (n) => level[codes[n]],
    };
  }
  let view = null, mark = null; // mark: where the thing that was chosen holds, to be underlined

  function showLegend() {
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
    element("scale-says").textContent = view.says;
  }

  // ---- Painting ----

  let painted = { from: 0, to: 0 }, near = [];
  /** Paint what is in view and about a window above and below, unless that is still there. */
  function paint(anew) {
    const area = text.getBoundingClientRect();
    const top = Math.max(0, -area.top), bottom = Math.min(area.height, innerHeight - area.top);
    if (!view || (!anew && top >= painted.from && bottom <= painted.to)) return;
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
    near = piecesBetween(from + area.top, to + area.top);
    const rectangles = view.colours.map(() => []), lines = [];
    for (const piece of near) {
      const all = boxes(piece);
      for (let i = 0, n = piece.first; i < piece.count; i++, n++) {
        const level = view.level(n);
        if (level !== view.plain) rectangles[level].push(all.subarray(4 * i, 4 * i + 4));
        if (mark && mark[n]) lines.push(all.subarray(4 * i, 4 * i + 4));
      }
    }
    const pen = canvas.getContext("2d");
    const fill = (x, y, width, tall) => { // on whole pixels, or seams would show between neighbours
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
  function show(next) {
    view = next;
    element("by-surprise").checked = view.unit === null;
    element("by-unit").checked = view.unit !== null;
    if (view.unit !== null) element("unit").value = view.unit;
    for (const button of document.querySelectorAll("[data-unit]")) {
      button.setAttribute("aria-pressed", view.unit !== null && Number(button.dataset.unit) === view.unit);
    }
    showLegend();
    paint(true);
    if (place !== null) tell(place);
  }
  const unpacked = new Map();
  let wanted = 0;
  async function showUnit(unit) {
    const ticket = ++wanted;
    if (!unpacked.has(unit)) unpacked.set(unit, new Uint8Array(await bytes(`unit-${unit}`)));
    if (ticket === wanted) show(byUnit(unit, unpacked.get(unit)));
  }
  function showSurprise() { wanted++; show(bySurprise()); }

  // ---- The place pointed at ----

  let place = null;
  const percent = (p) => (p < 0.0005 ? "<0.1" : (100 * p).toFixed(1)) + " %";
  const made = (tag, name, content) => {
    const found = document.createElement(tag);
    found.className = name;
    found.textContent = content;
    return found;
  };
  /** What was likeliest; nothing, as long as nothing was read. */
  function expectedAt(n) {
    const found = [];
    if (n <= start) return found;
    for (let c = 0; c < facts.candidates; c++) {
      found.push({ index: likeliest[c * facts.chars + n], p: probabilities[c * facts.chars + n] / 0xffff });
    }
    return found;
  }
  const known = (n) => indices[n] < facts.known;
  /** How likely a character was, in words. */
  function judged(n, p) {
    if (n === start) return n === 0 ? "Nothing comes before it" : "Nothing that the network knows comes before it";
    return `${known(n) ? `${percent(p)} likely` : "The network does not know it"}, ${(surprise[n] / BIT).toFixed(2)} bits`;
  }
  /** Show what is known of a place. */
  function tell(n) {
    place = n;
    const [sign, name] = facts.letters[indices[n]], expected = expectedAt(n);
    const came = expected.find((e) => e.index === indices[n]) ?? { index: indices[n], p: 2 ** (-surprise[n] / BIT) };
    element("hint").hidden = true;
    element("known").hidden = false;
    element("character").querySelector("bdi").textContent = sign;
    element("character").querySelector("b").textContent = judged(n, came.p);
    element("character").querySelector("small").textContent = `${name}; character ${(n + 1).toLocaleString("en")}`;
    const output = element("character").querySelector("output");
    output.hidden = view.unit === null;
    if (view.unit !== null) output.textContent = signed(activation(view.codes[n]));
    output.style.background = view.colours[view.level(n)];
    const listed = n <= start || expected.includes(came) || !known(n);
    const rows = listed ? expected : [...expected, came];
    element("expected").replaceChildren(...rows.map((e) => {
      const row = made("li", e === came ? "came" : "", ""), bar = made("i", "bar", ""), value = made("data", "", percent(e.p));
      value.value = e.p;
      bar.append(made("i", "", ""));
      bar.style.setProperty("--share", `${100 * e.p}%`);
      row.title = facts.letters[e.index][1];
      row.append(made("span", "sign", facts.letters[e.index][0]), bar, value);
      return row;
    }));
    const box = boxOf(n);
    cursor.hidden = false;
    cursor.style.transform = `translate(${box.left - 2}px, ${box.top - 2}px)`;
    cursor.style.width = `${Math.max(2, box.width) + 4}px`;
    cursor.style.height = `${box.height + 4}px`;
  }
  /** Say it, where it was not seen. */
  function say(n) {
    const name = (index) => { const [sign, long] = facts.letters[index]; return /^\w$/.test(sign) ? sign : long; };
    const likely = expectedAt(n).map((e) => `${name(e.index)} ${percent(e.p)}`);
    const unit = view.unit === null ? "" : `, activation ${signed(activation(view.codes[n]))}`;
    element("said").textContent =
      `${name(indices[n])}, ${element("character").querySelector("b").textContent}${unit}. Expected: ${likely.join(", ")}`;
  }
  /** The character nearest to a point, from the corner of the text; of another line only if there is none in its own. */
  function nearest(x, y, fits = () => true) {
    let best = null, shortest = Infinity;
    for (const piece of near) {
      const all = boxes(piece);
      for (let i = 0; i < piece.count; i++) {
        const left = all[4 * i], up = all[4 * i + 1];
        const dx = Math.max(0, left - x, x - left - all[4 * i + 2]), dy = Math.max(0, up - y, y - up - all[4 * i + 3]);
        const distance = dx + 1000 * dy;
        if (distance < shortest && fits(up)) { shortest = distance; best = piece.first + i; }
      }
    }
    return best;
  }
  function point(event) {
    const corner = text.getBoundingClientRect(), n = nearest(event.clientX - corner.left, event.clientY - corner.top);
    if (n !== null && n !== place) tell(n);
  }

  // ---- Keys ----

  /** The place that a key leads to from the one pointed at, or null. */
  function beside(key) {
    if (place === null) return null;
    const box = boxOf(place), row = pieceOf(place).node.parentElement.closest("#rows > div");
    const inRow = pieces.filter((piece) => row.contains(piece.node));
    const x = box.left + box.width / 2, middle = box.top + box.height / 2;
    switch (key) {
      case "ArrowLeft": return Math.max(0, place - 1);
      case "ArrowRight": return Math.min(facts.chars - 1, place + 1);
      case "ArrowUp": return nearest(x, middle - box.height, (top) => top + box.height / 2 < box.top) ?? place;
      case "ArrowDown": return nearest(x, middle + box.height, (top) => top > middle) ?? place;
      case "Home": return inRow[0].first;
      case "End": return inRow.at(-1).first + inRow.at(-1).count - 1;
      default: return null;
    }
  }
  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const first = place === null && event.key.startsWith("Arrow");
    const n = first ? nearest(0, 1 - text.getBoundingClientRect().top) : beside(event.key);
    if (n === null) return;
    event.preventDefault();
    tell(n);
    say(n);
    const box = boxOf(n), corner = text.getBoundingClientRect(), floor = innerHeight - covered();
    const over = box.top + corner.top - 40, under = box.top + box.height + corner.top + 40 - floor;
    if (over < 0) scrollBy(0, over); else if (under > 0) scrollBy(0, under);
  }
  /** The height that the place pointed at takes from the bottom of a small window. */
  function covered() {
    const panel = element("place");
    return getComputedStyle(panel).position === "fixed" ? panel.offsetHeight : 0;
  }

  // ---- The units ----

  const scaled = (score, holds) => `${100 * Math.max(0, holds ? 2 * score - 1 : score)}%`;
  function measure(bar, best, holds) {
    bar.style.setProperty("--share", scaled(best.score, holds));
    bar.style.setProperty("--chance", scaled(best.chance, holds));
    bar.parentElement.classList.toggle("by-chance", best.score <= best.chance);
  }
  const told = (best, thing) =>
    `by chance at best ${best.chance.toFixed(2)}; ${best.rises ? "blue" : "red"} where it ${thing.holds ? "holds" : "is large"}`;
  function unitButton(best, thing) {
    const button = made("button", "", ""), bar = made("i", "bar", "");
    button.type = "button";
    bar.append(made("i", "", ""));
    button.append(made("span", "", best.name), bar, made("data", "", best.score.toFixed(2)));
    measure(bar, best, thing.holds);
    button.title = told(best, thing);
    if (best.unit === null) button.disabled = true;
    else { button.dataset.unit = best.unit; button.addEventListener("click", () => showUnit(best.unit)); }
    return button;
  }
  let open = null;
  async function choose(n) {
    const thing = facts.things[n], details = element(`details-${n}`), same = open === n;
    if (open !== null) {
      element(`details-${open}`).hidden = true;
      element(`choose-${open}`).setAttribute("aria-expanded", "false");
    }
    open = same ? null : n;
    mark = null;
    if (same) { paint(true); return; }
    details.hidden = false;
    element(`choose-${n}`).setAttribute("aria-expanded", "true");
    const best = thing.best[0];
    const score = `${thing.holds ? "AUC" : "Rank correlation"} ${best.score.toFixed(2)}`;
    details.replaceChildren(made("p", "", thing.says), made("p", "", `${score}; ${told(best, thing)}.`));
    if (thing.holds) {
      const label = made("label", "", "Underline where it holds"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", async () => { mark = box.checked ? await holdsAt(n) : null; paint(true); });
      label.prepend(box);
      details.append(label);
      mark = await holdsAt(n);
    }
    details.append(...thing.best.map((each) => unitButton(each, thing)));
    const held = thing.best.find((each) => each.unit !== null);
    if (held) await showUnit(held.unit); else paint(true);
  }
  const held = new Map();
  async function holdsAt(n) {
    if (!held.has(n)) held.set(n, new Uint8Array(await bytes(`thing-${n}`)));
    return held.get(n);
  }

  // ---- Beginning ----

  function listUnits() {
    element("unit").replaceChildren(...facts.units.map((unit, n) => {
      const option = made("option", "", unit.name);
      option.value = n;
      return option;
    }));
    facts.things.forEach((thing, n) => {
      const button = element(`choose-${n}`);
      if (!button) return;
      measure(button.querySelector(".bar"), thing.best[0], thing.holds);
      button.addEventListener("click", () => choose(n));
    });
  }
  function listen() {
    let pending = null; // one look a frame
    const later = (work) => { if (!pending) requestAnimationFrame(() => { const now = pending; pending = null; now(); }); pending = work; };
    text.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") later(() => point(event)); });
    text.addEventListener("click", point);
    text.addEventListener("keydown", press);
    addEventListener("scroll", () => paint(false), { passive: true });
    let width = 0;
    new ResizeObserver(() => {
      const anew = text.clientWidth !== width;
      width = text.clientWidth;
      if (anew) forgetBoxes();
      paint(true);
      if (place !== null) tell(place);
    }).observe(text);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      if (view.unit === null) showSurprise(); else show(byUnit(view.unit, view.codes));
    });
    element("by-surprise").addEventListener("change", showSurprise);
    element("by-unit").addEventListener("change", () => showUnit(Number(element("unit").value)));
    element("unit").addEventListener("change", () => showUnit(Number(element("unit").value)));
  }
  async function begin() {
    const [a, b, c, d] = await Promise.all(["indices", "surprise", "likeliest", "probabilities"].map(bytes));
    indices = new INDEX(a); surprise = new Uint16Array(b); likeliest = new INDEX(c); probabilities = new Uint16Array(d);
    start = surprise.includes(UNPREDICTED) ? surprise.indexOf(UNPREDICTED) : facts.chars;
    if (matchMedia("(max-width: 58rem)").matches) element("units").open = false;
    cutRows();
    forgetBoxes();
    listUnits();
    showSurprise();
    listen();
    performance.mark("coloured");
  }
  begin();
})();
