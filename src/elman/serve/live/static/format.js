// Formatting numbers, times and texts.

const integer = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 12345 as 12,345. */
export const formatCount = (number) => (number == null ? "–" : integer.format(number));

/** A loss: two decimals for nats per window, three per character. */
export const formatLoss = (value, unit) => (value == null ? "–" : value.toFixed(unit === "window" ? 2 : 3));

/** Seconds as 1 h 2 min, 3 min 4 s or 5 s. */
export function formatDuration(seconds) {
  if (seconds == null) return "–";
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  const minutes = Math.round(s / 60);
  return `${formatCount(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

/** A time, in seconds since 1970, relative to now or as a date. */
export function formatTime(time) {
  const seconds = Date.now() / 1000 - time;
  if (seconds < 600) return `${formatDuration(Math.max(0, seconds))} ago`;
  return new Date(time * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** Replace control characters, except for tabs and line feeds, by visible symbols. */
export const makeVisible = (text) =>
  text.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (c) => (c === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + c.charCodeAt(0))));

/** Create an element with a text, and optionally a class. */
export function createElement(tag, text = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}
