/* The playground of a server: requests, and their errors as messages for the user. */

import { byId } from "../dom.js";
import { capitalize } from "../format.js";
import { start } from "./playground.js";
import { UserError } from "./task.js";

const INTERRUPTED = "The connection was interrupted. Is the server still running?";
const STORED_KEY = "elman-api-key";

/** Pass the entries of characters to `onEntries` as they arrive, with the units `body.units`; return the response's end. */
const streamEntries = (path) => async (body, signal, onEntries) => {
  for await (const { characters, units, end } of streamLines(path, body, signal)) {
    signal.throwIfAborted();
    if (end) return end;
    const bytes = Uint8Array.from(atob(units), (byte) => byte.charCodeAt(0)), size = body.units.length;
    onEntries(characters.map(({ sampling_probability: sampling, ...entry }, i) =>
      ({ ...entry, sampling, activations: bytes.subarray(i * size, (i + 1) * size) })));
  }
  throw new UserError(INTERRUPTED);
};

/** Yield the objects of a response, one per line. */
async function* streamLines(path, body, signal) {
  const response = await request(path, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { done, value } = await reader.read().catch((error) => { throw connectionError(error); });
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const content = JSON.parse(line);
      if (content.error) throw new UserError(toSentence(content.error.message));
      yield content;
    }
  }
}

async function request(path, options) {
  for (let isRetry = false; ; isRetry = true) {
    const key = sessionStorage.getItem(STORED_KEY);
    const headers = { ...options.headers, ...(key && { authorization: `Bearer ${key}` }) };
    const response = await fetch(path, { ...options, headers }).catch((error) => { throw connectionError(error); });
    if (response.ok) return response;
    if (response.status !== 401) throw new UserError(await errorMessage(response));
    await askForKey(isRetry);
  }
}

/** Requests that were aborted on purpose keep their AbortError. */
function connectionError(error) {
  return error.name === "AbortError" ? error : new UserError(INTERRUPTED);
}

const errorMessage = (response) => response.json().then(({ error }) => toSentence(error.message))
  .catch(() => `The server responded with status ${response.status}.`);

const toSentence = (message) => `${capitalize(message)}.`;

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

start({
  fetchModels: async () => (await request("/api/models", {})).json(),
  generate: streamEntries("/api/play"),
  read: streamEntries("/api/read"),
});
