/* What is told of the character that is looked at, and what might have come in its place. */

import { isPicture, name, percent, sign } from "./character.js";

const byId = (id) => document.getElementById(id);

/** What may be chosen at a place: the likeliest, and the character itself where it is not among them. */
export function choices(place) {
  const listed = place.likeliest.map(([character, probability, chance]) => ({ character, probability, chance }));
  const there = listed.some(({ character }) => character === place.character);
  return there || place.probability === null ? listed : [...listed, place];
}

/** Show a place, the i-th; `choose(character)` is called when another is wanted. */
export function show(place, i, { given, held, choose }) {
  byId("hint").hidden = place !== null;
  byId("known").hidden = place === null;
  byId("release").hidden = !held;
  byId("place").classList.toggle("held", held);
  if (place === null) return;
  const how = place.chosen ? "chosen by you" : i < given ? "given" : "drawn";
  const [glyph, title, detail] = byId("character").querySelectorAll("bdi, b, small");
  glyph.textContent = sign(place.character);
  glyph.classList.toggle("picture", isPicture(place.character));
  title.textContent = name(place.character);
  detail.textContent = `character ${(i + 1).toLocaleString("en")}, ${how}`;
  byId("likely").textContent = likely(place);
  const all = choices(place), two = all.some(({ probability, chance }) => differ(probability, chance));
  byId("alternatives").replaceChildren(...all.map((choice, n) => row(choice, n, { place, two, choose })));
  byId("two-figures").hidden = !two;
}

/** What is said of a place to those who do not see it. */
export function aloud(place) {
  const others = choices(place).filter(({ character }) => character !== place.character).slice(0, 3);
  const named = others.map(({ character, probability }) => `${name(character)} ${percent(probability)}`);
  return `${name(place.character)}. ${likely(place)}${named.length ? ` Also: ${named.join(", ")}.` : ""}`;
}

function likely({ probability, bits, chance }) {
  if (probability === null) return "Nothing came before it, so nothing was expected.";
  const changed = chance === 0 ? " Your settings left it out." : ` Your settings made it ${percent(chance)}.`;
  const told = `The network gave it ${percent(probability)}: ${bits.toFixed(bits < 10 ? 2 : 1)} bits of surprise.`;
  return told + (differ(probability, chance) ? changed : "");
}

/** Whether what is drawn from is another thing than what the network expects. */
function differ(probability, chance) {
  return chance !== null && chance !== undefined && Math.abs(probability - chance) > 0.0005;
}

function row(choice, n, { place, two, choose }) {
  const button = document.createElement("button"), item = document.createElement("li");
  const came = choice.character === place.character, out = two && choice.chance === 0;
  const parts = ["kbd", "bdi", "i", "data"].map((tag) => document.createElement(tag));
  const [digit, glyph, bar, figure] = parts;
  digit.textContent = n + 1;
  glyph.textContent = sign(choice.character);
  glyph.classList.toggle("picture", isPicture(choice.character));
  figure.textContent = percent(choice.probability);
  bar.className = "bar";
  bar.style.setProperty("--share", choice.probability);
  if (two) bar.style.setProperty("--chance", choice.chance);
  bar.classList.toggle("two", two && !out);
  button.type = "button";
  button.classList.toggle("came", came);
  button.classList.toggle("out", out);
  const said = `${name(choice.character)}, ${percent(choice.probability)}`;
  const left = out ? ", left out by your settings" : two ? `, drawn with ${percent(choice.chance)}` : "";
  button.setAttribute("aria-label", said + left + (came ? ", which came" : ""));
  button.title = out ? "Left out by your settings; choose it all the same" : came ? "This came" : "Go on from here with this";
  button.append(...parts);
  button.addEventListener("click", () => choose(choice.character));
  item.append(button);
  return item;
}
