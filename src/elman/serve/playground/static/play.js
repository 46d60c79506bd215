/* The playground: what is pressed, and what then happens. */

import { aloud, choices, show } from "./alternatives.js";
import { models, receive, Trouble } from "./api.js";
import { counted, sign } from "./character.js";
import { legend } from "./color.js";
import { reveal } from "./typewriter.js";
import { begin as beginSettings, limit, settings } from "./settings.js";
import { Text } from "./text.js";
import { Units } from "./units.js";
import { say, tell, Work } from "./task.js";

const MOST_BACK = 50, MOST_NAMED = 6;
const byId = (id) => document.getElementById(id);
const served = new Map(), before = []; // models by their names; texts to go back to
let model = null, limits = null, tab = "write";
let doubtful = false; // whether the server may have been started again since it was heard of

const texts = { write: new Text(byId("written"), look, chooseNth), read: new Text(byId("readout"), look, chooseNth) };
const units = new Units(unitChosen, () => { forgetUnits(); rewatch(); });
const work = new Work(busy, failed);

// ---- What is looked at ----

let looking = false, seen = null;

/** Show what is looked at, at the next frame. */
function look() {
  if (!looking) requestAnimationFrame(showPlace);
  looking = true;
}

function showPlace() {
  looking = false;
  const text = texts[tab], i = looked(text), place = text.places[i] ?? null, held = text.selected !== null;
  seen = work.going ? null : place; // more may come before the next frame, and the last of all is shown then
  show(place, i, { given: text.given, held, choose: (character) => choose(text, i, character) });
  units.show(place, text.places, i);
  if (held && document.activeElement === text.box) byId("said").textContent = aloud(place);
  for (const copy of document.querySelectorAll(".copy")) copy.disabled = !text.places.length;
}

/** The place that is held or pointed at; else, but not while writing, the one before; else the last. */
function looked(text) {
  if (text.at !== null) return text.at;
  const still = work.going ? -1 : text.places.lastIndexOf(seen);
  return still >= 0 ? still : text.places.length ? text.places.length - 1 : null;
}

function busy() {
  const { activeElement } = document, going = work.going && tab === "write";
  byId("stop").hidden = !going;
  byId("write").hidden = going;
  if (activeElement === byId(going ? "write" : "stop")) byId(going ? "stop" : "write").focus();
  byId("written").setAttribute("aria-busy", going);
  // Who stopped while the prompt was shown has nothing yet to go on from.
  byId("go-on").disabled = work.going || texts.write.places.length <= texts.write.given;
  byId("back").disabled = work.going || !before.length;
  byId("block").disabled = work.going;
  look();
}

// ---- Colours and units ----

function unitChosen() {
  const colour = units.unit === null ? "surprise" : "unit";
  document.querySelector(`[name=colour][value=${colour}]`).checked = true;
  paint();
}

function paint() {
  const { value } = document.querySelector("[name=colour]:checked");
  units.unit = value === "unit" ? units.unit ?? 0 : null;
  legend(value, units.unit === null ? "" : units.nameOf(units.unit));
  for (const text of Object.values(texts)) text.colour(value, units.unit);
  look();
}

/** Other units are watched from now on. */
function forgetUnits() {
  const all = [texts.write.places, texts.read.places, ...before.map(({ places }) => places)];
  for (const place of all.flat()) place.codes = null;
  unitChosen();
}

/** Read the text that is shown again, for what the units did of which nothing is known. */
function rewatch() {
  const text = texts[tab];
  if (!text.places.some(({ codes }) => codes === null)) return;
  const begun = text === texts.write && text.given === 0 ? model.first : ""; // what was read in the place of a prompt
  work.run(tab, "Reading again, for these units…", async (signal) => {
    let i = -begun.length;
    const body = { model: model.id, text: begun + text.string(0, limits.read - begun.length), units: units.watched };
    await receive("/api/read", body, signal, (places) => {
      for (const { codes } of places) if (i++ >= 0) text.places[i - 1].codes = codes;
    });
    text.repaint();
    return "";
  });
}

// ---- Writing ----

/** Write behind a prompt, and behind places that are there already; the text before is kept, to go back to. */
function write(drawing, prompt, start = []) {
  const text = texts.write, given = start.length ? text.given : [...prompt].length;
  const characters = Math.max(given, start.length) + drawing.max_tokens;
  if (characters > limits.request) {
    throw new Trouble(`A text may have ${counted(limits.request)}, those to be written among them, and this one would have ${counted(characters)}: ask for fewer.`);
  }
  if (text.places.length) before.push({ places: text.places, given: text.given, prompt: byId("prompt").value });
  if (before.length > MOST_BACK) before.shift();
  text.begin(start, given);
  const written = text.string(given);
  return work.run("write", "Writing…", async (signal) => {
    const body = { ...drawing, model: model.id, prompt, written, units: units.watched };
    const shown = reveal(signal, (places) => { text.append(places); look(); });
    let known = start.length > 0; // the first that comes is the last of those that are there
    await receive("/api/play", body, signal, (places) => {
      if (known) text.complete(places.shift());
      known = false;
      shown.add(places);
    }).catch((error) => { if (error.name !== "AbortError") throw error; }).finally(shown.end);
    await shown.done;
    return summary(text, signal.aborted, drawing.seed);
  });
}

function summary(text, stopped, seed) {
  const drawn = text.places.slice(text.given), bits = drawn.reduce((sum, place) => sum + place.bits, 0) / drawn.length;
  const told = drawn.length ? `, ${bits.toFixed(2)} bits of surprise each` : "";
  return `${stopped ? "Stopped at " : ""}${counted(drawn.length)}${told}. Random state ${seed}.`;
}

/** Do something that may be refused, and say why. */
async function trying(where, does) {
  if (doubtful && await othersServed(where)) return;
  try {
    does();
  } catch (error) {
    tell(where, error);
  }
}

function writeAnew() {
  trying("write", () => {
    check(byId("prompt"));
    write(settings(true), byId("prompt").value);
  });
}

function goOn() {
  const text = texts.write;
  trying("write", () => write(settings(false), text.string(0, text.given), text.places));
}

function back() {
  if (work.going || !before.length) return;
  const { places, given, prompt } = before.pop();
  texts.write.begin(places, given);
  byId("prompt").value = prompt;
  say("write", "The text before.");
  busy();
  rewatch();
}

/** Go on from the i-th character of a text with another in its place. */
function choose(text, i, character) {
  if (tab === "read") open("write");
  trying("write", () => {
    const drawing = settings(text === texts.read), there = text.places[i];
    if (text === texts.write && i >= text.given) {
      const held = text.selected !== null, { probability, chance } = choices(there).find((one) => one.character === character);
      const chosen = { ...there, character, probability, chance, bits: bitsOf(probability, there), codes: null, chosen: true };
      write(drawing, text.string(0, text.given), [...text.places.slice(0, i), chosen]);
      if (held) text.select(i);
    } else {
      const prompt = text.string(0, i) + character;
      write(drawing, prompt);
      byId("prompt").value = prompt;
    }
  });
  texts.write.box.focus({ preventScroll: true });
}

function bitsOf(probability, there) {
  return probability === there.probability ? there.bits : -Math.log2(probability);
}

function chooseNth(text, i, n) {
  const choice = choices(text.places[i])[n - 1];
  if (choice) choose(text, i, choice.character);
}

// ---- Reading ----

function read() {
  const field = byId("paste"), text = texts.read, { length } = [...field.value];
  trying("read", () => {
    if (!length) throw new Trouble("There is nothing to read yet: paste a text.");
    if (length > limits.read) throw new Trouble(`It reads ${counted(limits.read)} at a time, and these are ${counted(length)}: paste fewer.`);
    check(field);
    text.begin([], length);
    work.run("read", "Reading…", async (signal) => {
      const body = { model: model.id, text: field.value, units: units.watched };
      const { bits_per_char: bits } = await receive("/api/read", body, signal, (places) => { text.append(places); look(); });
      if (bits === null) return `${counted(length)}: too few to be surprised by.`;
      return `${counted(length)}, ${bits.toFixed(2)} bits of surprise each: as if it chose among ${(2 ** bits).toFixed(1)} every time.`;
    });
  });
}

/** Refuse what the model does not know, and offer to leave it out. */
function check(field) {
  const knows = (character) => model.folds || model.known.has(character);
  const strangers = [...new Set(field.value)].filter((character) => !knows(character));
  if (!strangers.length) return;
  const more = strangers.length > MOST_NAMED ? ` and ${strangers.length - MOST_NAMED} more` : "";
  const named = strangers.slice(0, MOST_NAMED).map((character) => `\u2068${sign(character)}\u2069`).join(" ");
  const trouble = new Trouble(`The text that ${model.id} learned from has no ${named}${more}.`);
  trouble.remedy = Object.assign(document.createElement("button"), { type: "button", textContent: "Leave out" });
  trouble.remedy.addEventListener("click", () => {
    field.value = [...field.value].filter(knows).join("");
    field.form.requestSubmit();
  });
  throw trouble;
}

// ---- Tabs, models, keys ----

function open(which) {
  if (work.going) work.stop();
  tab = which;
  for (const one of ["write", "read"]) {
    const is = one === which;
    byId(`tab-${one}`).setAttribute("aria-selected", is);
    byId(`tab-${one}`).tabIndex = is ? 0 : -1;
    byId(`panel-${one}`).hidden = !is;
  }
  busy();
  rewatch();
}

/** What the server does not know may be of another server, in whose place it was started. */
function failed(where, { lost, refused }) {
  doubtful ||= lost;
  if (refused === 400 || refused === 404) othersServed(where);
}

/** Ask once more what is served; where the model at hand is not, or is another, say so and take one that is. */
async function othersServed(where) {
  const found = await models().catch(() => null);
  if (found === null) return false; // that it does not answer will be said by what is tried
  doubtful = false;
  const { id, told } = model;
  serve(found);
  byId("model").value = id;
  if (served.get(id)?.told === told) return false;
  take(served.has(id) ? id : found.models[0].id);
  say(where, `The server was started again with other networks. This is ${model.id} as it is now.`, true);
  return true;
}

/** Offer the models that are served. */
function serve(found) {
  limits = found.limits;
  limit(limits);
  served.clear();
  for (const one of found.models) served.set(one.id, { ...one, known: new Set(one.characters), told: JSON.stringify(one) });
  byId("model").replaceChildren(...[...served.keys()].map((id) => new Option(id, id)));
  byId("models").hidden = served.size < 2;
}

function take(id) {
  work.drop();
  model = served.get(id);
  before.length = 0;
  byId("model").value = id;
  const cell = { rnn: "A vanilla recurrent network", gru: "A GRU", lstm: "An LSTM" }[model.cell];
  const layers = model.layers === 1 ? "one layer" : `${model.layers} layers`;
  byId("about").textContent = `${cell} with ${layers} of ${model.hidden_size} hidden units, which knows ${counted(model.characters.length)}.`;
  document.title = `${id}: playground`;
  for (const [where, text] of Object.entries(texts)) {
    text.begin([], 0);
    say(where, "");
  }
  units.begin(model, limits.units);
  unitChosen();
  busy();
}

function copy() {
  const copied = navigator.clipboard?.writeText(texts[tab].string()) ?? Promise.reject(new Error("no clipboard"));
  copied.then(
    () => say(tab, "Copied."),
    () => say(tab, "This browser does not let the page copy: select the text instead.", true),
  );
}

function keyed(event) {
  if (byId("key-dialog").open) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId(tab).click();
  else if (event.key === "Escape" && work.going) work.stop();
  else if (event.key === "Escape") texts[tab].select(null);
  else if (event.key === "Backspace" && event.target === byId("written")) back();
  else return;
  event.preventDefault();
}

function listen() {
  const on = (id, what, does) => byId(id).addEventListener(what, does);
  on("writing", "submit", (event) => { event.preventDefault(); writeAnew(); });
  on("reading", "submit", (event) => { event.preventDefault(); read(); });
  on("stop", "click", () => work.stop());
  on("go-on", "click", goOn);
  on("back", "click", back);
  on("release", "click", () => texts[tab].select(null));
  on("model", "change", () => take(byId("model").value));
  on("colours", "change", paint);
  for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", copy);
  for (const which of ["write", "read"]) on(`tab-${which}`, "click", () => { if (which !== tab) open(which); });
  on("tabs", "keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    open(tab === "write" ? "read" : "write");
    byId(`tab-${tab}`).focus();
  });
  document.addEventListener("keydown", keyed);
}

/** What needs no model works at once; the rest is disabled until the server has told of its models. */
async function begin() {
  beginSettings();
  listen();
  try {
    const found = await models();
    serve(found);
    take(found.models[0].id);
    for (const id of ["write", "read", "colour"]) byId(id).disabled = false;
  } catch (error) {
    tell("write", error);
  }
}

begin();
