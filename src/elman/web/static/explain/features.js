/* The features of the text, and the units that track them. */

import { byId, create } from "../dom.js";
import { setBar } from "../inspector.js";
import { data, decodeOnce } from "./data.js";

const fraction = (score, isBinary) => Math.max(0, isBinary ? 2 * score - 1 : score);

function fillBar(bar, { score, baseline }, isBinary) {
  setBar(bar, fraction(score, isBinary), fraction(baseline, isBinary));
  bar.parentElement.classList.toggle("below-baseline", score <= baseline);
}

const describeScore = ({ baseline, rises }, { isBinary }) =>
  `baseline ${baseline.toFixed(2)}; ${rises ? "blue" : "red"} where the feature ${isBinary ? "holds" : "is large"}`;

function createUnitButton(best, feature, onUnit) {
  const bar = create("i", { className: "bar" }), { name, score, unit } = best;
  const button = create("button", { type: "button", title: describeScore(best, feature), disabled: unit === null },
    create("span", {}, name), bar, create("data", {}, score.toFixed(2)));
  fillBar(bar, best, feature.isBinary);
  if (unit !== null) {
    button.dataset.unit = unit;
    button.addEventListener("click", () => onUnit(unit));
  }
  return button;
}

/** Show the details of a feature; `onUnit` is called with a unit to show, `onMask` with where the feature holds, or null. */
async function showDetails(n, onUnit, onMask) {
  const feature = data.features[n], [best] = feature.best, loadMask = () => decodeOnce(`feature-${n}`);
  const score = `${feature.isBinary ? "AUC" : "Rank correlation"} ${best.score.toFixed(2)}`;
  const details = [create("p", {}, feature.description), create("p", {}, `${score}; ${describeScore(best, feature)}.`)];
  if (feature.isBinary) {
    const box = create("input", { type: "checkbox", checked: true });
    box.addEventListener("change", async () => onMask(box.checked ? await loadMask() : null));
    details.push(create("label", {}, box, "Underline where it holds"));
  }
  const buttons = feature.best.map((each) => createUnitButton(each, feature, onUnit));
  byId(`details-${n}`).replaceChildren(...details, ...buttons);
  onMask(feature.isBinary ? await loadMask() : null);
  const inPage = feature.best.find(({ unit }) => unit !== null);
  if (inPage) await onUnit(inPage.unit);
}

/** Fill the bars of the features, and open the details of one at a time. */
export function initFeatures(onUnit, onMask) {
  let open = null;
  const setOpen = (n, isOpen) => {
    byId(`details-${n}`).hidden = !isOpen;
    byId(`choose-${n}`).setAttribute("aria-expanded", isOpen);
  };
  const toggle = async (n) => {
    const isSame = open === n;
    if (open !== null) setOpen(open, false);
    open = isSame ? null : n;
    if (isSame) return onMask(null);
    setOpen(n, true);
    return showDetails(n, onUnit, onMask);
  };
  data.features.forEach(({ best, isBinary }, n) => {
    const button = byId(`choose-${n}`);
    if (!button) return; // the feature is too rare
    fillBar(button.querySelector(".bar"), best[0], isBinary);
    button.addEventListener("click", () => toggle(n));
  });
}
