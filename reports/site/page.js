"use strict";
// Making the parts of a page. Text goes in as text: nothing that a record holds is ever read as markup.

const DATA = JSON.parse(document.getElementById("data").textContent);
const TABLES = new Map(DATA.tables.map((table) => [table.id, table]));
const SVG = "http://www.w3.org/2000/svg";
const CHUNK = 200; // Rows of a table that are drawn at once.

function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text = size < 10 ? value.toFixed(3) : size < 1000 ? value.toPrecision(4) : Math.round(value).toLocaleString("en");
  return text.replace("-", "−");
}

function count(value) {
  if (value === null || value === undefined) return "–";
  for (const [size, letter] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= size) return `${value / size < 100 ? (value / size).toFixed(1) : Math.round(value / size)} ${letter}`;
  }
  return String(Math.round(value));
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function interval(low, high) {
  return low === null || high === null || low === undefined ? "" : `${number(low)} to ${number(high)}`;
}

function plural(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

// Round steps from low to high.
function ticks(low, high, about = 5) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(span / about));
  const step = [1, 2, 5, 10].map((m) => m * power).find((one) => span / one <= about);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(10)));
}

function axisOf(ends) {
  const known = ends.filter((x) => x !== null && x !== undefined);
  if (!known.length) return [0, 1];
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const air = (high - low) * 0.04 || Math.abs(high) * 0.05 || 0.01;
  return [low - air, high + air];
}

function bar([value, low, high], [from, to]) {
  if (value === null || value === undefined) return h("span", { class: "muted" }, "not defined");
  const at = (x) => `${(100 * (x - from)) / (to - from)}%`;
  return h(
    "div", { class: "bar", "aria-hidden": "true" },
    low !== null && low !== undefined && h("i", { style: `left:${at(low)};width:calc(${at(high)} - ${at(low)})` }),
    h("b", { style: `left:${at(value)}` }),
  );
}

function axis([from, to]) {
  return h("div", { class: "axis" }, ticks(from, to, 4).map((tick) => h("span", { style: `left:${(100 * (tick - from)) / (to - from)}%` }, String(tick).replace("-", "−"))));
}

// What stands behind the bars: ticks, the best score and, dotted, the best baseline.
function plotLines([from, to], best = null, low = null) {
  const at = (x, width) => `calc(16px + (100% - 32px) * ${((x - from) / (to - from)).toFixed(4)}) 0 / ${width} 100% no-repeat`;
  return [
    best !== null && `linear-gradient(var(--span), var(--span)) ${at(best, "2px")}`,
    low !== null && `repeating-linear-gradient(var(--plain) 0 2px, transparent 2px 5px) ${at(low, "1.5px")}`,
    ...ticks(from, to, 4).map((tick) => `linear-gradient(var(--line), var(--line)) ${at(tick, "1px")}`),
  ].filter(Boolean).join(", ");
}

// A table that sorts. columns: {key, title, num, plot, first, value(row), cell(row)}; `first` is the order of a first click.
// In their own order rows are by "order", where there is such a column; `own` begins the name of what it sorts by.
function sortable({ caption, columns, rows, sort, onsort, own = "", most = CHUNK, lines = null, classes = () => "", grouped = null, label = null }) {
  const [key, way] = (sort || "").split(":");
  const by = sort === "order:ascending" ? undefined : columns.find((column) => column.key === key && column.value);
  const sorted = by ? [...rows].sort(comparing(by.value, way)) : rows;
  const kind = (column) => (column.num ? "num" : column.plot ? "plots" : null);
  const head = columns.map((column) => {
    const attributes = { scope: "col", class: kind(column), title: column.means || null };
    if (!column.value) return h("th", attributes, column.title || h("span", { class: "hidden" }, "More"), column.head);
    const current = column === by ? way : !by && column.key === "order" ? "ascending" : null;
    const next = current === null ? column.first || "ascending" : current === "ascending" ? "descending" : "ascending";
    const button = h("button", { type: "button", "data-sort": own + column.key, onclick: () => onsort(`${column.key}:${next}`) }, column.title);
    return h("th", { ...attributes, "aria-sort": current || "none" }, button, column.head);
  });
  const body = h("tbody");
  const line = (row, index) => {
    const opens = !by && grouped && index > 0 && grouped(row) !== grouped(sorted[index - 1]);
    return h("tr", { class: [classes(row), opens && "opens"].filter(Boolean).join(" ") || null }, columns.map((column, place) =>
      h(place === (label ?? 0) ? "th" : "td", place === (label ?? 0) ? { scope: "row" } : { class: kind(column) }, column.cell(row, index))));
  };
  const more = h("div", { class: "more", hidden: true }, h("button", { type: "button", onclick: () => draw(Infinity) }));
  function draw(some) {
    const from = body.rows.length;
    const part = document.createDocumentFragment();
    sorted.slice(from, from + some).forEach((row, i) => part.append(line(row, from + i)));
    body.append(part);
    more.hidden = body.rows.length === sorted.length;
    more.firstChild.textContent = `Show all ${plural(sorted.length, "row")}`;
  }
  draw(most);
  const table = h("table", { class: "data", style: lines && `--lines: ${lines}` }, h("caption", {}, caption), h("thead", {}, h("tr", {}, head)), body);
  return [h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table), more];
}

function comparing(value, way) {
  const sign = way === "descending" ? -1 : 1;
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    // What is not known stands last in both orders.
    if (x === null || x === undefined) return y === null || y === undefined ? 0 : 1;
    if (y === null || y === undefined) return -1;
    return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
  };
}
