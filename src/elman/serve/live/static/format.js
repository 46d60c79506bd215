// Numbers, times and texts as a person reads them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 12345 as 12,345. */
export const counted = (number) => (number == null ? "–" : whole.format(number));

/** A loss: two digits behind the point where it is that of a window, three where it is that of a character. */
export const loss = (value, unit) => (value == null ? "–" : value.toFixed(unit === "window" ? 2 : 3));

/** Seconds as 1 h 2 min, 3 min 4 s or 5 s. */
export function duration(seconds) {
  if (seconds == null) return "–";
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  const minutes = Math.round(s / 60);
  return `${counted(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

/** A moment, in seconds since 1970, as what it is from now. */
export function ago(moment) {
  const seconds = Date.now() / 1000 - moment;
  if (seconds < 600) return `${duration(Math.max(0, seconds))} ago`;
  return new Date(moment * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** A text whose control characters, but for tabs and line feeds, are pictures of themselves. */
export const visible = (text) =>
  text.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (c) => (c === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + c.charCodeAt(0))));

/** An element with a text, and perhaps a class. */
export function element(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}
