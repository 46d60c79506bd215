/* The back end of the playground: requests to the server, and their errors as messages for the user. */

import { byId, create } from "../dom.js";
import { UserError } from "./task.js";

const INTERRUPTED = "The connection was interrupted. Is the server still running?";
const STORED_KEY = "elman-api-key";
const KEY_FORM = `
  <form method="dialog">
  <h2 id="key-title">This server requires an API key</h2>
  <p id="key-note" class="note">The key passed to <code>elman serve</code> as --api-key. It is stored in this tab only.</p>
  <label class="field" for="key">API key</label>
  <input type="password" id="key" autocomplete="off" required>
  <div class="actions"><button class="main" value="enter">Submit</button></div>
  </form>`;

/** Return the models and the limits of requests. */
export async function fetchModels() {
  return (await request("/api/models", {})).json();
}

/**
 * Generate, or read, a text; `body.units` are the units to report. `onEntries` is called with the entries of characters
 * as they arrive. Returns the end of the response.
 */
export const generate = (body, signal, onEntries) => streamEntries("/api/play", body, signal, onEntries);
export const read = (body, signal, onEntries) => streamEntries("/api/read", body, signal, onEntries);

async function streamEntries(path, body, signal, onEntries) {
  for await (const { characters, units, end } of streamLines(path, body, signal)) {
    signal.throwIfAborted();
    if (end) return end;
    const bytes = Uint8Array.from(atob(units), (byte) => byte.charCodeAt(0)), size = body.units.length;
    onEntries(characters.map(({ sampling_probability: sampling, ...entry }, i) =>
      ({ ...entry, sampling, activations: bytes.subarray(i * size, (i + 1) * size) })));
  }
  throw new UserError(INTERRUPTED);
}

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

async function errorMessage(response) {
  try {
    return toSentence((await response.json()).error.message);
  } catch {
    return `The server responded with status ${response.status}.`;
  }
}

function toSentence(message) {
  return `${message[0].toUpperCase()}${message.slice(1)}.`;
}

function askForKey(isRetry) {
  const dialog = create("dialog", { id: "key-dialog", innerHTML: KEY_FORM });
  dialog.setAttribute("aria-labelledby", "key-title");
  document.body.append(dialog);
  if (isRetry) byId("key-note").textContent = "Invalid API key. Try again.";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    dialog.addEventListener("close", () => {
      const key = dialog.returnValue === "enter" && byId("key").value.trim();
      dialog.remove();
      if (!key) return reject(new UserError("The server requires its API key. Reload the page to enter it."));
      sessionStorage.setItem(STORED_KEY, key);
      resolve();
    }, { once: true });
  });
}
