"use strict";
/* Each function draws one chart from the data that the page holds. Texts in charts are escaped: Plotly reads some HTML. */
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const isDark = () => document.documentElement.dataset.theme === "dark";
const HUES = {
  light: ["#0072b2", "#d55e00", "#0b8a6a", "#b5468f", "#8a6d00", "#5b4db0", "#c23b4a", "#2a8fbd", "#6b7f1f", "#7a5230"],
  dark: ["#6bb8f0", "#ff9a5a", "#4fd1a5", "#f08cc8", "#e0c34d", "#a99bff", "#ff8f97", "#7fdcf5", "#b8d46a", "#d0a37a"],
};
const SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "star"];
const hue = (place) => HUES[isDark() ? "dark" : "light"][place % 10];
const shape = (place) => SHAPES[Math.floor(place / 10) % SHAPES.length];
const figures = (point) => `${point.win_rate.toFixed(1)} (${point.low.toFixed(1)}–${point.high.toFixed(1)})`;
const doubt = (points) => ({
  type: "data", symmetric: false, thickness: 1.2, width: 0,
  array: points.map((point) => point.high - point.win_rate), arrayminus: points.map((point) => point.win_rate - point.low),
});
const equal = () => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: 50, y1: 50, line: { color: token("soft"), dash: "dot", width: 1 }, layer: "below" });

function layout(x, y, more = {}) {
  const axis = (title) => ({
    title: { text: title, standoff: 8 }, gridcolor: token("line"), zerolinecolor: token("line"), linecolor: token("line"), automargin: true,
  });
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: token("ink"), family: "system-ui, sans-serif", size: 13 },
    margin: { t: 30, r: 18, b: 46, l: 56 }, height: 416, xaxis: axis(x), yaxis: axis(y), uirevision: "keep", hovermode: "closest",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: token("soft"), activecolor: token("accent") },
    legend: innerWidth < 740 ? { orientation: "h", y: -0.32, font: { size: 11 } } : { font: { size: 12 } },
    hoverlabel: { bgcolor: token("card"), bordercolor: token("line"), font: { color: token("ink") }, align: "left" }, ...more,
  };
}

const CHARTS = {
  lengths(data) {
    const groups = new Map();
    for (const point of data.lengths.points) groups.set(point.method, [...(groups.get(point.method) || []), point]);
    const many = data.lengths.points.length > 60;
    const traces = [...groups].map(([method, points]) => {
      const place = data.methods.indexOf(method), color = place < 0 ? token("ink") : hue(place);
      return {
        x: points.map((point) => point.mean_length), y: points.map((point) => point.win_rate), name: plain(place < 0 ? "base model" : method),
        mode: "markers", type: "scatter", error_y: { ...doubt(points), color, visible: !many },
        marker: { color, size: many ? 7 : 10, symbol: place < 0 ? "x" : shape(place), opacity: many ? 0.75 : 1,
          line: { width: points.map((point) => (point.trial === data.best ? 2 : 0)), color: token("ink") } },
        text: points.map((point) => `<b>${plain(point.trial)}</b><br>win rate ${figures(point)}<br>length ${point.mean_length}`),
        hovertemplate: "%{text}<extra></extra>",
      };
    });
    return [traces, layout("mean length, characters", "win rate %", { shapes: [equal()] })];
  },

  learning(data) {
    const { curves, best } = data.learning, named = new Set([...curves.slice(0, 8).map((curve) => curve.trial), best]);
    const traces = curves.map((curve) => {
      const isNamed = named.has(curve.trial), place = data.methods.indexOf(curve.method), { points } = curve;
      const color = isNamed ? hue([...named].indexOf(curve.trial)) : token("soft");
      return {
        x: points.map((point) => point.step), y: points.map((point) => point.win_rate), name: plain(curve.trial), showlegend: isNamed,
        mode: "lines+markers", opacity: isNamed ? 1 : 0.3, line: { color, width: curve.trial === best ? 3.5 : isNamed ? 1.8 : 1 },
        marker: { symbol: shape(place), size: points.map((point) => 5 + 4 * Math.sqrt(point.prompts / 805)) },
        error_y: { ...doubt(points), color, visible: curve.trial === best },
        text: points.map((point) => `<b>${plain(curve.trial)}</b><br>step ${point.step}: ${figures(point)}<br>on ${point.prompts} prompts`),
        hovertemplate: "%{text}<extra></extra>",
      };
    });
    return [traces.reverse(), layout("step", "win rate %", { shapes: [equal()], legend: { ...layout("", "").legend, traceorder: "reversed" } })];
  },

  parameters(data) {
    const chosen = data.parameters[Number(document.getElementById("pick-method").value) || 0], { axes, lines } = chosen;
    const rates = lines.map((line) => line.win_rate), low = Math.min(...rates), high = Math.max(...rates);
    const spans = axes.map((axis, place) => span(axis, lines.map((line) => line.values[place])));
    const faint = lines.length < 40 ? 0.75 : 0.2, bins = 7, sorted = [...lines].sort((one, other) => one.win_rate - other.win_rate);
    const bin = (rate) => (high > low ? Math.min(bins - 1, Math.floor((bins * (rate - low)) / (high - low))) : bins - 1);
    const traces = sorted.map((line) => {
      const strength = bin(line.win_rate) / (bins - 1), values = line.values.map((value, place) => spans[place].at(value));
      const told = axes.map((axis, place) => `${plain(axis.name)} = ${plain(short(line.values[place]))}`).join("<br>");
      return {
        x: [...axes.keys(), axes.length], y: [...values, high > low ? (line.win_rate - low) / (high - low) : 0.5], mode: "lines+markers",
        line: { color: shade(strength), width: 1 + 2.2 * strength, shape: "linear" }, marker: { size: 4, color: shade(strength) },
        opacity: faint + (1 - faint) * strength ** 2, showlegend: false, connectgaps: false,
        text: Array(axes.length + 1).fill(`<b>${plain(line.trial)}</b><br>win rate ${line.win_rate.toFixed(1)}<br>${told}`),
        hovertemplate: "%{text}<extra></extra>",
      };
    });
    const ends = [...spans.map((each) => each.ends), [[0, low.toFixed(1)], [1, high.toFixed(1)]]];
    const names = [...axes.map((axis) => axis.name + (axis.is_log ? " (log)" : "")), "win rate %"];
    const shapes = names.map((_, place) => ({ type: "line", x0: place, x1: place, y0: 0, y1: 1, line: { color: token("soft"), width: 1 }, layer: "below" }));
    const annotations = ends.flatMap((marks, place) =>
      marks.map(([y, text]) => ({ x: place, y, text: plain(text), showarrow: false, font: { size: 11, color: token("soft") }, yshift: y === 0 ? -12 : y === 1 ? 12 : 0,
        xshift: y > 0 && y < 1 ? 6 : 0, xanchor: y > 0 && y < 1 ? "left" : "center" })));
    const told = layout("", "", { shapes, annotations, margin: { t: 34, r: 40, b: 56, l: 40 } });
    told.xaxis = { ...told.xaxis, tickvals: names.map((_, place) => place), ticktext: names.map(plain), showgrid: false, range: [-0.25, axes.length + 0.25], zeroline: false, title: {} };
    told.yaxis = { ...told.yaxis, visible: false, range: [-0.09, 1.09] };
    told.uirevision = chosen.method;
    return [traces, told];
  },

  effort(data) {
    const byTime = document.getElementById("pick-effort").value === "minutes";
    const traces = data.effort.methods.filter((each) => !byTime || each.minutes_per_trial !== null).map((each) => {
      const place = data.methods.indexOf(each.method), unit = byTime ? each.minutes_per_trial : 1;
      return {
        x: each.expected_best.map(([trials]) => trials * unit), y: each.expected_best.map(([, rate]) => rate), name: plain(each.method),
        mode: each.expected_best.length > 30 ? "lines" : "lines+markers", line: { color: hue(place), width: 2 }, marker: { symbol: shape(place), size: 7 },
        text: each.expected_best.map(([trials, rate]) => `<b>${plain(each.method)}</b><br>${trials} trial${trials > 1 ? "s" : ""}: ${rate.toFixed(1)}`),
        hovertemplate: "%{text}<extra></extra>",
      };
    });
    const told = layout(byTime ? "minutes" : "trials of the method", "best win rate to expect, %", { uirevision: String(byTime) });
    const most = Math.max(...data.effort.methods.map((each) => each.expected_best.length));
    told.xaxis = { ...told.xaxis, rangemode: byTime ? "tozero" : "normal", ...(!byTime && most < 12 ? { dtick: 1 } : {}) };
    return [traces, told];
  },

  so_far(data) {
    const points = data.effort.so_far, isShort = points[points.length - 1][0] < 2, unit = isShort ? 60 : 1;
    const line = { color: token("accent"), width: 2.5, shape: "hv" };
    const trace = { x: points.map(([hours]) => hours * unit), y: points.map(([, rate]) => rate), mode: "lines+markers", line, marker: { size: 6 }, showlegend: false,
      hovertemplate: "%{y:.1f} % after %{x:.2f}<extra></extra>" };
    const told = layout(isShort ? "minutes" : "hours", "win rate of the leader, %", { height: 286, hovermode: "x" });
    told.xaxis.rangemode = "tozero";
    return [[trace], told];
  },

  likelihoods: (data) => bySteps(data, [["chosen_logp", "chosen", "solid"], ["rejected_logp", "rejected", "dot"]], "log-probability, nats"),
  margins: (data) => bySteps(data, [["margin", "margin", "solid"]], "reward margin"),

  spending(data) {
    const points = data.spending.over_time, isShort = points[points.length - 1].hours < 2, unit = isShort ? 60 : 1;
    const x = points.map((point) => point.hours * unit), isPaid = points.some((point) => point.cost > 0);
    const traces = [{ x, y: points.map((point) => point.judgments), name: "judgments", mode: "lines", line: { color: hue(0), width: 2.5 }, fill: "tozeroy" }];
    const more = { height: 286, hovermode: "x unified", showlegend: isPaid };
    if (isPaid) {
      traces.push({ x, y: points.map((point) => point.cost), name: "paid", mode: "lines", yaxis: "y2", line: { color: hue(1), width: 2.5 } });
      more.yaxis2 = { overlaying: "y", side: "right", title: { text: "paid to the judge" }, showgrid: false, automargin: true };
    }
    return [traces, layout(isShort ? "minutes" : "hours", "judgments", more)];
  },
};

function bySteps(data, sides, title) {
  const traces = data.displacement.flatMap((trial, number) => sides.filter(([name]) => trial.series[name].some((value) => value !== null)).map(([name, side, dash], place) => ({
    x: trial.series.step, y: trial.series[name], name: plain(sides.length > 1 && place > 0 ? `${trial.trial}, ${side}` : trial.trial), mode: "lines",
    legendgroup: trial.trial, showlegend: place === 0, visible: number < 4 ? true : "legendonly", line: { color: hue(number), width: trial.trial === data.best ? 3 : 1.6, dash },
    hovertemplate: `<b>${plain(trial.trial).replace(/%/g, "%%")}</b><br>${side} %{y:.3g} at step %{x}<extra></extra>`,
  })));
  return [traces, layout(sides.length > 1 ? "step (dotted: the rejected response)" : "step", title)];
}

/* A hyperparameter's axis: `at` puts a value between 0 and 1, null where there is none; `ends` are its marks. */
function span(axis, values) {
  if (axis.categories) {
    const last = Math.max(1, axis.categories.length - 1), at = (value) => (value === null ? null : axis.categories.indexOf(String(value)) / last);
    return { at, ends: axis.categories.map((name) => [at(name), name.length > 24 ? `${name.slice(0, 23)}…` : name]) };
  }
  const known = values.filter((value) => value !== null), low = Math.min(...known), high = Math.max(...known);
  const on = axis.is_log ? Math.log : (value) => value;
  const at = (value) => (value === null ? null : high > low ? (on(value) - on(low)) / (on(high) - on(low)) : 0.5);
  return { at, ends: [[0, short(low)], [1, short(high)]] };
}

const small = (value) => value !== 0 && Math.abs(value) < 1e-3;
const short = (value) => (typeof value === "number" ? (small(value) ? value.toExponential(2) : String(Number(value.toPrecision(3)))) : value === null ? "none" : String(value));

/* From faint to strong, against either paper. */
function shade(strength) {
  const [from, to] = isDark() ? [[92, 112, 122], [90, 235, 205]] : [[165, 182, 190], [0, 92, 82]];
  return `rgb(${from.map((each, place) => Math.round(each + strength * (to[place] - each))).join(",")})`;
}
