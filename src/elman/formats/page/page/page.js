/* The playground as one file: its back end is a network in a worker, whose weights are in the page. */

import { byId } from "../dom.js";
import { formatCharacters } from "../format.js";
import { start } from "../playground/playground.js";
import { setStatus, UserError } from "../playground/task.js";

const LATE_MS = 500;
const data = JSON.parse(byId("data").textContent), { model, limits, sampling } = data;
const source = new Blob([byId("worker").textContent], { type: "text/javascript" });
const worker = new Worker(URL.createObjectURL(source));
const waiting = []; // functions that settle the answers, in their order

worker.addEventListener("message", ({ data: answer }) => {
  if (answer.progress) byId("loading").value = answer.progress;
  else waiting.shift().resolve(answer);
});
worker.addEventListener("error", (event) => {
  event.preventDefault();
  const reason = (event.message ?? "the browser does not start a worker").replace(/^(Uncaught )?(Error: )?/, "");
  waiting.shift().reject(new UserError(`The network cannot be used (${reason}).`));
});

/** Send a message to the worker, and return its answer. */
function request(message) {
  worker.postMessage(message);
  return new Promise((resolve, reject) => { waiting.push({ resolve, reject }); });
}

async function fetchModels() {
  const timer = setTimeout(() => {
    byId("loading").hidden = false;
    setStatus("write", "Loading the network…");
  }, LATE_MS);
  await request({ data, text: byId("arrays").textContent });
  clearTimeout(timer);
  byId("loading").hidden = true;
  return { models: [model], limits, sampling };
}

async function run(name, body, signal, onEntries) {
  for (let message = { name, body }; ; message = {}) {
    const { entries, end } = await request(message);
    signal.throwIfAborted();
    if (end) return end;
    if (entries.length) onEntries(entries);
  }
}

const generate = (body, signal, onEntries) => run("generate", body, signal, onEntries);

async function read(body, signal, onEntries) {
  const { length } = [...body.text];
  if (length > limits.read) throw new UserError(`The text has ${formatCharacters(length)}; at most ${formatCharacters(limits.read)} can be read.`);
  return run("read", body, signal, onEntries);
}

start({ fetchModels, generate, read });
