/* What is asked of the server, and its troubles in words. */

const NO_ANSWER = "The server does not answer. Is it still running?";
const BROKEN_OFF = "The answer broke off. Is the server still running?";
const KEPT = "elman-api-key";

/** Something that a person is to be told, in words; `refused` is the status of an answer, `lost` whether none came. */
export class Trouble extends Error {
  constructor(words, { refused = 0, lost = false } = {}) {
    super(words);
    Object.assign(this, { refused, lost });
  }
}

/** Return what is served, and the limits. */
export async function models() {
  return (await ask("/api/models", {})).json();
}

/** Have the server read or write, watching the units that `body` names; `take` gets places as they come. Return the end. */
export async function receive(path, body, signal, take) {
  for await (const { characters, units, end } of lines(path, body, signal)) {
    signal.throwIfAborted();
    if (end) return end;
    const codes = Uint8Array.from(atob(units), (byte) => byte.charCodeAt(0)), size = body.units.length;
    take(characters.map((place, i) => ({ ...place, codes: codes.subarray(i * size, (i + 1) * size) })));
  }
  throw new Trouble(BROKEN_OFF, { lost: true });
}

/** Yield the objects that come, a line each. */
async function* lines(path, body, signal) {
  const answer = await ask(path, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
  });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { done, value } = await reader.read().catch((error) => { throw worded(error, BROKEN_OFF); });
    if (done) return;
    const whole = (rest + value).split("\n");
    rest = whole.pop();
    for (const line of whole) {
      const content = JSON.parse(line);
      if (content.error) throw new Trouble(sentence(content.error.message));
      yield content;
    }
  }
}

async function ask(path, options) {
  for (let tried = false; ; tried = true) {
    const key = sessionStorage.getItem(KEPT);
    const headers = { ...options.headers, ...(key && { authorization: `Bearer ${key}` }) };
    const answer = await fetch(path, { ...options, headers }).catch((error) => { throw worded(error, NO_ANSWER); });
    if (answer.ok) return answer;
    if (answer.status !== 401) throw new Trouble(await reason(answer), { refused: answer.status });
    await askForKey(tried);
  }
}

/** What was stopped on purpose is no trouble. */
function worded(error, words) {
  return error.name === "AbortError" ? error : new Trouble(words, { lost: true });
}

async function reason(answer) {
  try {
    return sentence((await answer.json()).error.message);
  } catch {
    return `The server answers with ${answer.status} and no reason.`;
  }
}

function sentence(words) {
  return `${words[0].toUpperCase()}${words.slice(1)}.`;
}

function askForKey(again) {
  const dialog = document.getElementById("key-dialog"), input = document.getElementById("key");
  if (again) document.getElementById("key-says").textContent = "That was not it: enter it again.";
  input.value = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    dialog.addEventListener("close", () => {
      const entered = dialog.returnValue === "enter" && input.value.trim();
      dialog.returnValue = "";
      if (!entered) return reject(new Trouble("Without its key the server answers nothing. Load the page again to enter it."));
      sessionStorage.setItem(KEPT, entered);
      resolve();
    }, { once: true });
  });
}
