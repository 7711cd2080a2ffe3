"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const figure = document.getElementById("figure");
const means = document.getElementById("means");
const leftOut = document.getElementById("left-out");
const steps = data.traces.map((trace) => trace.x);
let axis = "step";

// Beside the names there would be no room for the curves: they go below.
const narrow = window.matchMedia("(max-width: 760px)");
const LEGEND_LINE = 22;

// Straight lines between the known places, and beyond them the line of the nearest two.
function placed(points, step) {
  const [known, places] = points;
  if (known.length === 1) return places[0];
  let low = 0;
  let high = known.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (known[middle] <= step) low = middle;
    else high = middle;
  }
  return places[low] + ((step - known[low]) * (places[high] - places[low])) / (known[high] - known[low]);
}

function shownTrace(trace, index) {
  const view = means.checked ? "means" : "runs";
  const points = axis === "step" ? null : data.places[axis][trace.meta.run];
  const visible = (trace.meta.view === "both" || trace.meta.view === view) && (axis === "step" || points !== null);
  if (!visible) return { ...trace, visible: false };
  if (axis === "step") return { ...trace, x: steps[index] };
  return { ...trace, x: steps[index].map((step) => (step === null ? null : placed(points, step))) };
}

// How many decades a vertical axis shows: in a few of them there is room for 2 and 5 as well.
function decades(name) {
  const shown = data.traces.filter((trace) => trace.yaxis === name.replace("axis", ""));
  const values = shown.flatMap((trace) => trace.y).filter((value) => value > 0);
  return Math.log10(values.reduce((a, b) => Math.max(a, b), 0) / values.reduce((a, b) => Math.min(a, b), Infinity));
}

function draw() {
  const layout = structuredClone(data.layout);
  const traces = data.traces.map(shownTrace);
  layout.xaxis.title.text = data.titles[axis];
  layout.xaxis.uirevision = axis;
  layout.legend.uirevision = "legend";
  if (narrow.matches) {
    const entries = traces.filter((trace) => trace.visible !== false && trace.showlegend !== false).length;
    Object.assign(layout.legend, { x: 0, xanchor: "left", y: 0, yref: "container", yanchor: "bottom" });
    layout.margin.b += LEGEND_LINE * entries;
    layout.height += LEGEND_LINE * entries;
  }
  for (const box of document.querySelectorAll("input[name^=yaxis]")) {
    layout[box.name].type = box.checked ? "log" : "linear";
    if (box.checked && decades(box.name) < 2) layout[box.name].dtick = "D2";
    layout[box.name].uirevision = axis + box.checked;
  }
  const missing = axis === "step" ? 0 : data.places[axis].filter((points) => points === null).length;
  leftOut.hidden = missing === 0;
  leftOut.textContent = `${missing} of the runs do not say where they are on this axis, and are left out`;
  return Plotly.react(figure, traces, layout, { responsive: true, displaylogo: false });
}

function addAxes() {
  for (const [name, title] of Object.entries(data.titles)) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "axis", value: name, checked: name === axis });
    input.addEventListener("change", () => {
      axis = name;
      draw();
    });
    label.append(input, ` ${title}`);
    document.getElementById("axes").append(label);
  }
}

// What has no number comes last, whichever the direction.
function sortBy(head, column) {
  const table = head.closest("table");
  const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
  const value = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
  const body = table.tBodies[0];
  const numeric = body.rows.length > 0 && body.rows[0].cells[column].dataset.sort !== undefined;
  const order = numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b, undefined, { numeric: true });
  const compared = (a, b) => {
    const [left, right] = [value(a), value(b)];
    return left === "" || right === "" ? (left === "") - (right === "") : direction * order(left, right);
  };
  body.append(...[...body.rows].sort(compared));
}

document.querySelectorAll("#runs th").forEach((head, column) => {
  head.querySelector("button").addEventListener("click", () => sortBy(head, column));
});
for (const box of document.querySelectorAll("input[name^=yaxis]")) {
  box.checked = data.layout[box.name].type === "log";
  box.addEventListener("change", draw);
}
means.checked = data.seeds;
means.addEventListener("change", draw);
narrow.addEventListener("change", draw);
addAxes();
draw();
