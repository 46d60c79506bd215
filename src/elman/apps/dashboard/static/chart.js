// The chart: losses of all shown runs, and their speeds below.

const SERIES = 6;
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The number of a run's colour, counted from 1. */
export const series = (run) => (run.number % SERIES) + 1;

/** How many runs before it have its colour, of which each has other dashes and markers. */
export const round = (run) => Math.floor(run.number / SERIES) % DASHES.length;

const DASHES = ["solid", "8px,4px", "10px,3px,3px,3px"], MARKERS = ["circle", "square", "diamond-open"];

export const touchScreen = matchMedia("(pointer: coarse)");

const TITLES = {
  update: "updates",
  characters: "characters read",
  seconds: "seconds spent on updates",
  character: "nats per character",
  bits: "bits per character",
  window: "nats per window",
};

/** Return the factor that converts a loss in nats per character to a unit. */
export function scale(run, unit) {
  if (unit === "window") return run.settings.seq_length ?? 1;
  return unit === "bits" ? 1 / Math.LN2 : 1;
}

const horizontal = (run, points, across) =>
  across === "seconds" ? points.seconds : across === "update" ? points.update : points.update.map((n) => n * run.charsPerUpdate);

/** The curves and the axes that the chart shows. */
export const shown = { traces: [], layout: {} };

/** Draw the chart, and return whether there is anything to draw. A zoomed range stays until `view` changes. */
export async function draw(div, runs, view) {
  const traces = runs.filter((run) => run.isShown).flatMap((run) => createTraces(run, view)), layout = createLayout(view);
  const options = {
    displayModeBar: !touchScreen.matches, displaylogo: false, modeBarButtons: [["resetScale2d"]],
    responsive: true, doubleClick: "reset+autosize", showTips: false,
  };
  if (traces.length || shown.traces.length) await Plotly.react(div, traces, layout, options);
  Object.assign(shown, { traces, layout });
  return traces.length > 0;
}

function createTraces(run, view) {
  const color = token(`--series-${series(run)}`), factor = scale(run, view.unit);
  const createTrace = (what, points, factor, line, markers, fields) => { // up to so many points have markers: a line through one is invisible
    const all = horizontal(run, points, view.across), start = (1 - view.part) * all.at(-1);
    const first = all.findIndex((value) => value >= start), x = all.slice(first);
    const y = points.value.slice(first).map((value) => value * factor), mode = x.length <= markers ? "lines+markers" : "lines";
    return { type: "scatter", name: `${run.label ?? run.name}, ${what}`, mode, x, y, showlegend: false, line: { color, ...line }, ...fields };
  };
  const loss = (size) => ({ marker: { color, size, symbol: MARKERS[round(run)] }, hovertemplate: "%{y:.4~g}" });
  return [
    createTrace("train", run.train_loss, factor, { width: 1.75, dash: DASHES[round(run)] }, 2, loss(5)),
    createTrace("validation", run.validation_loss, factor, { width: 1.75, dash: "1px,3px" }, 60, loss(4)),
    createTrace("characters per second", run.speeds(), 1, { width: 1.25 }, 2, { yaxis: "y2", hovertemplate: "%{y:,.0f}" }),
  ].filter((trace) => trace.x.length);
}

function createLayout(view) {
  const [soft, rule, card, ink] = ["--soft", "--rule", "--card", "--ink"].map(token);
  const axis = {
    gridcolor: rule, zeroline: false, linecolor: rule, tickfont: { color: soft }, automargin: false, fixedrange: touchScreen.matches,
    exponentformat: "SI",
  };
  const title = (text, y) => ({
    text, y, x: 0, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false, font: { color: soft },
  });
  return {
    font: { family: token("--sans"), size: 12, color: soft },
    paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    margin: { l: 46, r: 10, t: 28, b: 42 },
    hovermode: "x unified",
    hoverlabel: { bgcolor: card, bordercolor: rule, font: { color: ink, family: token("--sans") } },
    dragmode: touchScreen.matches ? false : "zoom",
    modebar: { bgcolor: "transparent", color: soft, activecolor: ink },
    uirevision: JSON.stringify(view),
    xaxis: { ...axis, anchor: "y2", type: view.logx ? "log" : "linear", title: { text: TITLES[view.across], standoff: 8, font: { size: 12 } } },
    yaxis: { ...axis, domain: [0.3, 1], type: view.logy ? "log" : "linear", nticks: 7 },
    yaxis2: { ...axis, domain: [0, 0.18], rangemode: "tozero", nticks: 3 },
    annotations: [title(TITLES[view.unit], 1.005), title("characters per second", 0.185)],
  };
}
