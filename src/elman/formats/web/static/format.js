/* Formatting numbers, times and texts. */

/** 12345 as 12,345. */
export const formatCount = (number, maximumFractionDigits = 0) =>
  number == null ? "–" : number.toLocaleString("en", { maximumFractionDigits });

export const formatCharacters = (count) => `${formatCount(count)} ${count === 1 ? "character" : "characters"}`;

export function formatPercent(p) {
  if (p === 0) return "0 %";
  if (p < 0.001) return "< 0.1 %";
  if (p > 0.999 && p < 1) return "> 99.9 %";
  return `${(100 * p).toFixed(p < 0.0995 || p > 0.9905 ? 1 : 0)} %`;
}

/** An activation, or another number with its sign. */
export function formatSigned(value) {
  const digits = Math.abs(value).toFixed(2);
  return Number(digits) === 0 ? digits : (value < 0 ? "−" : "+") + digits;
}

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

export const capitalize = (text) => text[0].toUpperCase() + text.slice(1);
