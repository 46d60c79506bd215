// Histograms of every array: one small outline each, in one chart.

import { narrowScreen, token } from "./chart.js";

const TITLES = {
  U: "input to hidden", W: "hidden to hidden", V: "hidden to output", b: "hidden bias", c: "output bias", d: "reset bias",
  h: "hidden state", s: "cell state", alpha: "weights of the n-gram prior",
};
const ROW = 145; // pixels

/** Return the title of an array: U2 is input to hidden, layer 2. */
function title(name) {
  const [, symbol, layer] = name.match(/^(.*?)(\d*)$/);
  return `${name}  ${TITLES[symbol] ?? ""}${layer ? `, layer ${layer}` : ""}`;
}

/** Draw the histograms of a run. */
export function drawHistograms(div, histograms) {
  const maxColumns = Math.max(2, Math.min(6, Math.floor(div.clientWidth / 190)));
  const rows = Math.ceil(histograms.length / maxColumns);
  const columns = Math.ceil(histograms.length / rows);
  const [soft, rule, ink] = ["--soft", "--rule", "--ink"].map(token);
  const layout = {
    font: { family: token("--sans"), size: 11, color: soft },
    paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    margin: { l: 8, r: 8, t: 20, b: 4 },
    height: rows * ROW, showlegend: false, hovermode: false, dragmode: false, annotations: [],
  };
  const traces = histograms.map((histogram, i) => {
    const [column, row] = [i % columns, Math.floor(i / columns)];
    const suffix = i ? i + 1 : "";
    const height = ROW / (rows * ROW - 24);
    const top = 1 - row * height;
    const domain = [column / columns, (column + 0.88) / columns];
    const isState = "hs".includes(histogram.name[0]);
    const axis = { fixedrange: true, showgrid: false, zeroline: false, anchor: `y${suffix}` };
    layout[`xaxis${suffix}`] = { ...axis, domain, nticks: 4, linecolor: rule, tickfont: { color: soft }, range: [histogram.low, histogram.high] };
    layout[`yaxis${suffix}`] = {
      fixedrange: true, showgrid: false, zeroline: false, showticklabels: false, rangemode: "tozero",
      anchor: `x${suffix}`, domain: [Math.max(0, top - height * 0.62), top],
    };
    layout.annotations.push({
      text: title(histogram.name), x: domain[0], y: top, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom",
      showarrow: false, font: { color: ink, size: narrowScreen.matches ? 11 : 12 },
    });
    return createTrace(histogram, suffix, token(isState ? "--series-2" : "--series-1"));
  });
  return Plotly.react(div, traces, layout, { displayModeBar: false, responsive: true, staticPlot: true });
}

function createTrace({ low, high, counts }, suffix, colour) {
  const width = (high - low) / counts.length;
  return {
    type: "scatter", mode: "lines", xaxis: `x${suffix}`, yaxis: `y${suffix}`,
    x: [low, ...counts.map((_, i) => low + (i + 0.5) * width), high],
    y: [0, ...counts, 0],
    line: { shape: "hvh", color: colour, width: 1 },
    fill: "tozeroy", fillcolor: `color-mix(in srgb, ${colour} 25%, transparent)`,
  };
}
