"use strict";
// The two pictures: score against size or cost, and models by tasks.

// Told apart with any colour vision (Okabe and Ito, 2008); the shape says the same once more.
const COLOURS = { full: "#2f86c1", adapter: "#dc6a1e", probe: "#199e77", "zero-shot": "#b8860b", scratch: "#c76a9b", baseline: "#7c8794" };
const SHAPES = ["circle", "square", "diamond", "triangle", "cross", "down"];

function shape(kind, x, y, attributes) {
  const paths = {
    square: `M${x - 5},${y - 5}h10v10h-10z`,
    diamond: `M${x},${y - 7}l7,7l-7,7l-7,-7z`,
    triangle: `M${x},${y - 6.5}l6.5,11h-13z`,
    down: `M${x},${y + 6.5}l6.5,-11h-13z`,
    cross: `M${x - 2},${y - 6}h4v4h4v4h-4v4h-4v-4h-4v-4h4z`,
  };
  return kind === "circle" ? s("circle", { cx: x, cy: y, r: 5.8, ...attributes }) : s("path", { d: paths[kind], ...attributes });
}

// The points that none beats in score at no more cost.
function pareto(points, higher) {
  const front = [];
  for (const point of [...points].sort((a, b) => a.x - b.x || (higher ? b.y - a.y : a.y - b.y))) {
    const best = front[front.length - 1];
    if (!best || (higher ? point.y > best.y : point.y < best.y)) front.push(point);
  }
  return front;
}

// points: {x, y, low, high, name, adaptation, href}
function scatter({ points, higher, xTitle, yTitle, title }) {
  // As wide as a narrow screen, so that its letters stay as large as they are.
  const [width, height, left, right, top, bottom] = [Math.min(1000, Math.max(340, innerWidth - 56)), innerWidth < 720 ? 380 : 520, 66, 24, 16, 52];
  const logs = points.map((point) => Math.log10(point.x));
  const air = (Math.max(...logs) - Math.min(...logs)) * 0.06 || 0.3;
  const [xFrom, xTo] = [Math.min(...logs) - air, Math.max(...logs) + air];
  const [yFrom, yTo] = axisOf(points.flatMap((point) => [point.y, point.low, point.high]));
  const x = (value) => left + ((Math.log10(value) - xFrom) / (xTo - xFrom)) * (width - left - right);
  const y = (value) => height - bottom - ((value - yFrom) / (yTo - yFrom)) * (height - top - bottom);
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": title });
  for (const tick of ticks(yFrom, yTo)) {
    svg.append(s("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }), s("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, String(tick).replace("-", "−")));
  }
  for (let power = Math.floor(xFrom); power <= Math.ceil(xTo); power++) {
    for (const step of xTo - xFrom > 2.5 ? [1] : [1, 3]) {
      const value = step * 10 ** power;
      if (Math.log10(value) < xFrom || Math.log10(value) > xTo) continue;
      svg.append(s("line", { class: "grid", x1: x(value), x2: x(value), y1: top, y2: height - bottom }), s("text", { x: x(value), y: height - bottom + 18, "text-anchor": "middle" }, value >= 1 ? count(value) : String(Number(value.toPrecision(2)))));
    }
  }
  svg.append(
    s("text", { class: "axis-title", x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }, xTitle),
    s("text", { class: "axis-title", transform: `translate(15 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yTitle),
  );
  const front = pareto(points, higher);
  let path = "";
  front.forEach((point, i) => (path += i ? `H${x(point.x)}V${y(point.y)}` : `M${x(point.x)},${y(point.y)}`));
  svg.append(s("path", { class: "front", d: `${path}H${width - right}` }));
  const kinds = [...new Set(points.map((point) => point.adaptation))];
  const colour = (kind) => COLOURS[kind] || COLOURS.baseline;
  for (const point of points) {
    const said = `${point.name}: ${yTitle} ${number(point.y)}${point.low === null ? "" : ` (${interval(point.low, point.high)})`}, ${xTitle} ${count(point.x)}`;
    svg.append(s(
      "a", { href: point.href, "aria-label": said },
      point.low !== null && s("line", { class: "err", x1: x(point.x), x2: x(point.x), y1: y(point.low), y2: y(point.high), stroke: colour(point.adaptation) }),
      shape(SHAPES[kinds.indexOf(point.adaptation) % SHAPES.length], x(point.x), y(point.y), { class: "dot", fill: colour(point.adaptation) }),
      s("title", {}, said),
    ));
  }
  // Names of the front, where they do not run into each other.
  let taken = [];
  for (const point of front) {
    const box = { x: x(point.x), y: y(point.y) - 11, w: point.name.length * 6.4 };
    const end = box.x + box.w + 8 > width - right;
    const from = end ? box.x - box.w : box.x;
    if (taken.some((other) => Math.abs(other.y - box.y) < 13 && from < other.to && from + box.w > other.from)) continue;
    taken.push({ y: box.y, from, to: from + box.w });
    svg.append(s("text", { x: box.x, y: box.y, "text-anchor": end ? "end" : "start" }, point.name));
  }
  const key = h("ul", { class: "key" }, kinds.map((kind, i) =>
    h("li", {}, s("svg", { width: 16, height: 14, viewBox: "0 0 16 14", "aria-hidden": "true", style: "vertical-align:-2px;margin-right:6px" }, shape(SHAPES[i % SHAPES.length], 8, 7, { fill: colour(kind) })), kind)),
    h("li", {}, "dashed: the best score for its cost (Pareto front)"));
  return [key, h("div", { class: "plot" }, svg)];
}

// rows: {arm, cells: (cell or null by task)}; cell: {table, index, row, share, best}
function heatMap({ rows, tables, onopen, href }) {
  const head = h("tr", {}, h("th", { scope: "col" }, "Model"), tables.map((table) => h("th", { scope: "col" }, h("a", { href: `#/task/${table.id}` }, table.title), h("span", { class: "sub" }, ` ${table.metric.title}`))));
  const body = h("tbody");
  const line = ({ arm, cells }) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: href(arm) }, arm.name), h("span", { class: "sub" }, ` ${arm.recipe}`)), cells.map((cell) => {
    if (!cell || cell.row.v === null) return h("td", { class: "muted" }, h("span", { title: "no result" }, "–"));
    // Never so strong that the number in it could not be read.
    const share = Math.round(5 + 41 * cell.share);
    const button = h("button", { type: "button", style: `background:color-mix(in srgb, var(--accent) ${share}%, transparent)`, title: `${arm.name}, ${cell.table.title}: ${number(cell.row.v)} (${interval(cell.row.l, cell.row.h)})`, onclick: () => onopen(cell.table, cell.index) }, number(cell.row.v));
    return h("td", { class: cell.best ? "best" : null }, button);
  }));
  const most = Math.max(10, Math.floor(2000 / Math.max(tables.length, 1)));
  const more = h("div", { class: "more", hidden: rows.length <= most }, h("button", { type: "button", onclick: () => { body.append(...rows.slice(most).map(line)); more.hidden = true; } }, `Show all ${plural(rows.length, "row")}`));
  body.append(...rows.slice(0, most).map(line));
  const caption = "Scores; the stronger the colour, the nearer to the best of the task among the rows shown. Underlined: the best.";
  return [h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Heat map" }, h("table", { class: "map" }, h("caption", {}, caption), h("thead", {}, head), body)), more];
}
