/* The models of a page, in the page itself or on the server that it comes from, and the worker that computes with one. */

import { byId } from "../dom.js";
import { capitalize, formatCharacters } from "../format.js";
import { UserError } from "./task.js";

const STORED_KEY = "elman-api-key";
const packed = byId("packed")?.textContent;
/** The sampling options with their defaults. */
export const sampling = JSON.parse(byId("sampling").textContent);
/** The most characters that are read at once. */
export const MAX_READ = 10_000;
const worker = new Worker(URL.createObjectURL(new Blob([byId("worker").textContent], { type: "text/javascript" })));
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
function ask(message) {
  worker.postMessage(message);
  return new Promise((resolve, reject) => { waiting.push({ resolve, reject }); });
}

/** Return the names of the models; a page that has one names it in its description. */
export async function listModels() {
  return packed ? [""] : (await request("/v1/models", "json")).data.map(({ id }) => id);
}

/** Load a model in place of the one before, and return its description. */
export async function loadModel(name, signal) {
  const bytes = packed ? null : await request(`/models/${encodeURIComponent(name)}`, "arrayBuffer", signal);
  signal.throwIfAborted();
  return (await ask({ bytes, text: packed, sampling })).model;
}

/** Let the worker do a task, pass the entries of characters to `onEntries` as they arrive, and return its end. */
async function run(name, body, signal, onEntries) {
  for (let message = { name, body }; ; message = {}) {
    const { entries, end } = await ask(message);
    signal.throwIfAborted();
    if (end) return end;
    if (entries.length) onEntries(entries);
  }
}

export const generate = (body, signal, onEntries) => run("generate", body, signal, onEntries);

export async function read(body, signal, onEntries) {
  const { length } = [...body.text];
  if (length > MAX_READ) throw new UserError(`The text has ${formatCharacters(length)}; at most ${formatCharacters(MAX_READ)} can be read.`);
  return run("read", body, signal, onEntries);
}

// ---- Requests ----

/** Request a path of the server, with its key if it requires one, and return the body. */
async function request(path, type, signal) {
  for (let isRetry = false; ; isRetry = true) {
    const key = sessionStorage.getItem(STORED_KEY), headers = key ? { authorization: `Bearer ${key}` } : {};
    try {
      const response = await fetch(path, { headers, signal }), { status } = response;
      if (response.ok) return await response[type]();
      if (status !== 401) throw new UserError(await readError(response));
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new UserError("The connection was interrupted. Is the server still running?");
    }
    await askForKey(isRetry);
  }
}

const readError = (response) => response.json().then(({ error }) => `${capitalize(error.message)}.`)
  .catch(() => `The server responded with status ${response.status}.`);

function askForKey(isRetry) {
  const dialog = byId("key-dialog");
  if (isRetry) byId("key-note").textContent = "Invalid API key. Try again.";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    dialog.addEventListener("close", () => {
      const key = dialog.returnValue === "enter" && byId("key").value.trim();
      byId("key").value = "";
      if (!key) return reject(new UserError("The server requires its API key. Reload the page to enter it."));
      sessionStorage.setItem(STORED_KEY, key);
      resolve();
    }, { once: true });
  });
}
