/* The playground: what the user does, and what then happens. */

import { glyphOf, maskSymbols } from "../character.js";
import { byId, create } from "../dom.js";
import { capitalize, formatCharacters, formatCount } from "../format.js";
import { alternativesOf, describeEntry, showEntry } from "../inspector.js";
import { showLegend } from "../legend.js";
import { generate, listModels, loadModel, MAX_READ, read, sampling } from "./models.js";
import { initSettings, readSettings } from "./settings.js";
import { setStatus, showError, TaskRunner, UserError } from "./task.js";
import { InspectableText, startTypewriter } from "./text.js";
import { Units } from "./units.js";

const MAX_NAMED = 6, LEGEND_STEPS = 24, LATE_MS = 500;
const undoStack = []; // previous texts
let model = null, loading = new AbortController(), tab = "write";

const createText = (id) => new InspectableText(byId(id), onInspect, onDigit);
const texts = { write: createText("written"), read: createText("readout") };
const units = new Units(onUnitSelect, () => { discardActivations(); reread(); });
const tasks = new TaskRunner(onTaskChange);

// ---- Inspecting characters ----

let isScheduled = false;

/** Update the inspector at the next frame. */
function onInspect() {
  if (!isScheduled) requestAnimationFrame(updateInspector);
  isScheduled = true;
}

function updateInspector() {
  isScheduled = false;
  const text = texts[tab], i = text.inspected, entry = text.entries[i] ?? null, isSelected = text.selected !== null;
  byId("hint").hidden = entry !== null;
  byId("details").hidden = entry === null;
  byId("deselect").hidden = !isSelected;
  byId("inspector").classList.toggle("selected", isSelected);
  if (entry !== null) {
    const detail = `character ${formatCount(i + 1)}, ${entry.chosen ? "chosen by you" : i < text.given ? "given" : "generated"}`;
    byId("bars-note").hidden = !showEntry(entry, detail, (character) => choose(text, i, character));
  }
  units.show(entry, text.entries, i);
  if (isSelected && document.activeElement === text.box) byId("announcement").textContent = describeEntry(entry);
  for (const copy of document.querySelectorAll(".copy")) copy.disabled = !text.entries.length;
}

function onTaskChange() {
  const { activeElement } = document, isWriting = tasks.isRunning && tab === "write";
  byId("stop").hidden = !isWriting;
  byId("write").hidden = isWriting;
  if (activeElement === byId(isWriting ? "write" : "stop")) byId(isWriting ? "stop" : "write").focus();
  byId("written").setAttribute("aria-busy", isWriting);
  // A text that was stopped within its prompt cannot be continued.
  byId("continue").disabled = tasks.isRunning || texts.write.entries.length <= texts.write.given;
  byId("undo").disabled = tasks.isRunning || !undoStack.length;
  byId("block").disabled = tasks.isRunning;
  onInspect();
}

// ---- Colours and units ----

function onUnitSelect() {
  const kind = units.unit === null ? "surprisal" : "unit";
  document.querySelector(`[name=colour][value=${kind}]`).checked = true;
  updateColours();
}

function updateColours() {
  const { value } = document.querySelector("[name=colour]:checked");
  units.unit = value === "unit" ? units.unit ?? 0 : null;
  showColours(value);
  for (const text of Object.values(texts)) text.setColouring(value, units.unit);
  onInspect();
}

/** Show the legend of the colours of "surprisal", of the selected "unit", or of "none". */
function showColours(kind) {
  const mix = (variable, part) => `color-mix(in oklab, var(${variable}) ${100 * part}%, transparent)`;
  const steps = Array.from({ length: LEGEND_STEPS + 1 }, (_, i) => i / LEGEND_STEPS);
  if (kind === "surprisal") {
    const colours = steps.map((part) => mix("--surprisal", part));
    showLegend(colours, ["0", "2", "4", "6", "8 or more bits"], "1 bit: probability 1/2. 8 bits: probability 1/256.");
  } else if (kind === "unit") {
    const colours = steps.map((part) => (part < 0.5 ? mix("--falls", 1 - 2 * part) : mix("--rises", 2 * part - 1)));
    showLegend(colours, ["−1", "0", "+1"], `${units.nameOf(units.unit)}, after each character is read.`);
  } else showLegend([], [], "");
}

/** Discard the activations of all texts, as another group of units is selected. */
function discardActivations() {
  const all = [texts.write.entries, texts.read.entries, ...undoStack.map(({ entries }) => entries)];
  for (const entry of all.flat()) entry.activations = null;
  onUnitSelect();
}

/** Read the current text again if activations of the selected units are missing. */
function reread() {
  const text = texts[tab];
  if (!text.entries.some(({ activations }) => activations === null)) return;
  const skipped = text === texts.write && text.given === 0 ? 1 : 0; // what is read in place of an empty prompt
  tasks.run(tab, "Reading again for these units…", async (signal) => {
    let i = -skipped;
    const start = skipped ? model.first : "", shown = text.string(0, MAX_READ - skipped);
    await read({ text: start + shown, units: units.indices }, signal, (entries) => {
      for (const { activations } of entries) if (i++ >= 0) text.entries[i - 1].activations = activations;
    });
    text.repaint();
    return "";
  });
}

/** Show more entries of a text. */
function show(text, entries) {
  text.append(entries);
  onInspect();
}

// ---- Writing ----

/** Generate text after a prompt and existing entries; the previous text can be restored by undo. */
function write(settings, prompt, start = []) {
  const text = texts.write, given = start.length ? text.given : [...prompt].length;
  if (text.entries.length) undoStack.push({ entries: text.entries, given: text.given, prompt: byId("prompt").value });
  text.reset(start, given);
  const generated = text.string(given);
  return tasks.run("write", "Writing…", async (signal) => {
    const body = { ...settings, prompt, generated, units: units.indices };
    const typewriter = startTypewriter(signal, (entries) => show(text, entries));
    let isFirstKnown = start.length > 0; // the first entry of the response is then the last of the existing ones
    await generate(body, signal, (entries) => {
      if (isFirstKnown) text.complete(entries.shift());
      isFirstKnown = false;
      typewriter.add(entries);
    }).catch((error) => { if (error.name !== "AbortError") throw error; }).finally(typewriter.end);
    await typewriter.done;
    return summarize(text, signal.aborted, settings.seed);
  });
}

function summarize(text, isStopped, seed) {
  const generated = text.entries.slice(text.given), bits = generated.reduce((sum, entry) => sum + entry.bits, 0);
  const mean = generated.length ? `, ${(bits / generated.length).toFixed(2)} bits per character` : "";
  return `${isStopped ? "Stopped at " : ""}${formatCharacters(generated.length)}${mean}. Seed ${seed}.`;
}

/** Return a listener that starts a task in a tab, and shows why it cannot be started. */
const starting = (where, start) => (...values) => {
  try {
    start(...values);
  } catch (error) {
    showError(where, error);
  }
};

const onWrite = starting("write", () => {
  checkCharacters(byId("prompt"));
  write(readSettings(true), byId("prompt").value);
});

const onContinue = starting("write", () => {
  const text = texts.write;
  write(readSettings(false), text.string(0, text.given), text.entries);
});

function onUndo() {
  if (tasks.isRunning || !undoStack.length) return;
  const { entries, given, prompt } = undoStack.pop();
  texts.write.reset(entries, given);
  byId("prompt").value = prompt;
  setStatus("write", "Undone.");
  onTaskChange();
  reread();
}

/** Continue from the i-th character of a text with another one in its place. */
const choose = starting("write", (text, i, character) => {
  if (tab === "read") openTab("write");
  const settings = readSettings(text === texts.read), entry = text.entries[i];
  if (text === texts.write && i >= text.given) {
    const isSelected = text.selected !== null;
    const { probability, sampling } = alternativesOf(entry).find((each) => each.character === character);
    const bits = probability === entry.probability ? entry.bits : -Math.log2(probability);
    const chosen = { ...entry, character, probability, sampling, bits, activations: null, chosen: true };
    write(settings, text.string(0, text.given), [...text.entries.slice(0, i), chosen]);
    if (isSelected) text.select(i);
  } else {
    const prompt = text.string(0, i) + character;
    write(settings, prompt);
    byId("prompt").value = prompt;
  }
  texts.write.box.focus({ preventScroll: true });
});

function onDigit(text, i, n) {
  const alternative = alternativesOf(text.entries[i])[n - 1];
  if (alternative) choose(text, i, alternative.character);
}

// ---- Reading ----

const onRead = starting("read", () => {
  const field = byId("paste"), text = texts.read, { length } = [...field.value];
  checkCharacters(field);
  text.reset([], length);
  tasks.run("read", "Reading…", async (signal) => {
    const body = { text: field.value, units: units.indices };
    const { bits_per_char: bits } = await read(body, signal, (entries) => show(text, entries));
    if (bits === null) return `${formatCharacters(length)}: too few to measure the surprisal.`;
    return `${formatCharacters(length)}, ${bits.toFixed(2)} bits per character (perplexity ${(2 ** bits).toFixed(1)} per character).`;
  });
});

/** Reject characters that are not in the model's alphabet, and offer to remove them. */
function checkCharacters(field) {
  const isKnown = (character) => model.has_unknown || model.alphabet.has(character);
  const unknown = [...new Set(field.value)].filter((character) => !isKnown(character));
  if (!unknown.length) return;
  const more = unknown.length > MAX_NAMED ? ` and ${unknown.length - MAX_NAMED} more` : "";
  const named = unknown.slice(0, MAX_NAMED).map((character) => `\u2068${glyphOf(character)}\u2069`).join(" ");
  const error = new UserError(`Not in the alphabet of ${model.id}: ${named}${more}.`);
  error.remedy = create("button", { type: "button" }, "Remove");
  error.remedy.addEventListener("click", () => {
    field.value = [...field.value].filter(isKnown).join("");
    field.form.requestSubmit();
  });
  throw error;
}

// ---- Tabs, models, keyboard ----

function openTab(name) {
  if (tasks.isRunning) tasks.stop();
  tab = name;
  for (const each of ["write", "read"]) {
    const isOpen = each === name;
    byId(`tab-${each}`).setAttribute("aria-selected", isOpen);
    byId(`tab-${each}`).tabIndex = isOpen ? 0 : -1;
    byId(`panel-${each}`).hidden = !isOpen;
  }
  onTaskChange();
  reread();
}

/** Load the selected model; nothing can be done until then. */
async function openModel() {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading, bar = byId("loading");
  closeModel();
  const timer = setTimeout(() => {
    bar.hidden = false;
    for (const each in texts) setStatus(each, "Loading the network…");
  }, LATE_MS);
  try {
    const loaded = await loadModel(byId("model").value, signal);
    if (!signal.aborted) setModel(loaded);
  } catch (error) {
    if (!signal.aborted) for (const each in texts) showError(each, error);
  }
  clearTimeout(timer);
  if (!signal.aborted) bar.hidden = true;
}

function closeModel() {
  tasks.discard();
  undoStack.length = 0;
  for (const [where, text] of Object.entries(texts)) {
    text.reset([], 0);
    setStatus(where, "");
  }
  for (const id of ["units", "legend", "card"]) byId(id).hidden = true;
  for (const id of ["write", "read", "colour"]) byId(id).disabled = true;
  byId("about").textContent = "";
  onTaskChange();
}

function setModel(loaded) {
  model = { ...loaded, alphabet: new Set(loaded.characters) };
  const { id, cell_title, layers, hidden_size, characters, facts } = model, layersOf = layers === 1 ? "" : `${layers} layers of `;
  const network = hidden_size ? `${capitalize(cell_title)} with ${layersOf}${hidden_size} hidden units` : "N-gram counts alone";
  byId("about").textContent = `${network}; alphabet of ${formatCharacters(characters.length)}.`;
  document.title = `${id}: playground`;
  const describe = (list, pairs) => list.replaceChildren(...pairs.flatMap(([term, meaning]) => [create("dt", {}, term), create("dd", {}, meaning)]));
  describe(byId("facts"), facts);
  byId("card").hidden = false;
  maskSymbols.clear();
  for (const [symbol, shown] of Object.entries(model.symbols)) maskSymbols.set(symbol, shown);
  byId("legend").hidden = !maskSymbols.size;
  describe(byId("legend"), [...maskSymbols.values()].map(([letter, words]) => [create("i", { className: "mask" }, letter), words]));
  for (const each in texts) setStatus(each, "");
  units.setModel(model);
  onUnitSelect();
  for (const id of ["write", "read", "colour"]) byId(id).disabled = false;
  onTaskChange();
}

function onCopy() {
  const copied = navigator.clipboard?.writeText(texts[tab].string()) ?? Promise.reject(new Error("no clipboard"));
  copied.then(
    () => setStatus(tab, "Copied."),
    () => setStatus(tab, "This browser does not allow copying; select the text instead.", true),
  );
}

function onKeyDown(event) {
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId(tab).click();
  else if (event.key === "Escape" && tasks.isRunning) tasks.stop();
  else if (event.key === "Escape") texts[tab].select(null);
  else if (event.key === "Backspace" && event.target === byId("written")) onUndo();
  else return;
  event.preventDefault();
}

function addListeners() {
  const on = (id, type, listener) => byId(id).addEventListener(type, listener);
  on("writing", "submit", (event) => { event.preventDefault(); onWrite(); });
  on("reading", "submit", (event) => { event.preventDefault(); onRead(); });
  on("stop", "click", () => tasks.stop());
  on("continue", "click", onContinue);
  on("undo", "click", onUndo);
  on("deselect", "click", () => texts[tab].select(null));
  on("model", "change", openModel);
  on("colours", "change", updateColours);
  for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", onCopy);
  for (const name of ["write", "read"]) on(`tab-${name}`, "click", () => { if (name !== tab) openTab(name); });
  on("tabs", "keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    openTab(tab === "write" ? "read" : "write");
    byId(`tab-${tab}`).focus();
  });
  document.addEventListener("keydown", onKeyDown);
}

async function start() {
  addListeners();
  initSettings(sampling);
  try {
    const names = await listModels();
    byId("model").replaceChildren(...names.map((name) => new Option(name, name)));
    byId("models").hidden = names.length < 2;
    await openModel();
  } catch (error) {
    showError("write", error);
  }
}

start();
