// The page: takes what people paste or drop, asks the worker, and shows answers as bench demo does. Text is put in as text.

import { Unreadable, count, gff3, looksLikeDna, readProteins, stretches, table } from "./proteins.js";

const at = (id) => document.getElementById(id);
const state = at("state"), progress = at("progress"), predict = at("predict"), stop = at("stop"), box = at("sequence");
const TOO_OLD = "This browser is too old to run the model, or is not allowed to. Use a current Firefox, Chrome, Edge or Safari.";
const WHERE = { webgpu: "the graphics processor", wasm: "the processor" };
let model, worker, computes, ready = false, asked = 0, proteins = [], answers = [];

function made(tag, attributes = {}, ...inside) {
  const svg = ["svg", "polyline", "line", "text"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value);
  }
  element.append(...inside);
  return element;
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const number = (value) => String(Number(value.toPrecision(4)));
const small = (text) => made("p", { class: "b-small" }, text);

function message(text) {
  at("answer").replaceChildren(made("div", { class: "b-message", role: "alert" }, text));
  for (const id of ["chosen-row", "all", "downloads"]) at(id).hidden = true;
}

function told(text, share = null) {
  state.textContent = text;
  progress.hidden = share === null;
  progress.value = share ?? 0;
}

function start() {
  // With what decides where it computes.
  worker = new Worker(`worker.js${location.search}`, { type: "module" });
  worker.onmessage = ({ data }) => heard(data);
  worker.onerror = () => broken(TOO_OLD);
  worker.postMessage({ kind: "load" });
}

function broken(text) {
  ready = false;
  predict.disabled = true;
  told("The model could not be loaded.");
  message(text);
}

function heard(data) {
  if (data.kind === "arrived") {
    const [held, total] = [data.bytes, data.total].map((bytes) => (bytes / 1e6).toFixed(1));
    told(`The model is being loaded: ${held} of ${total} MB`, data.bytes / data.total);
  } else if (data.kind === "unloadable") broken(data.why);
  else if (data.kind === "ready") {
    ready = true;
    predict.disabled = false;
    told(`The model is ready, on ${WHERE[data.computes]} of this machine.`);
    document.body.dataset.state = "ready";
    kept(data.computes);
  } else if (data.number !== asked) return;
  else if (data.kind === "read") {
    const all = proteins.reduce((sum, protein) => sum + protein.sequence.length, 0);
    told(`${count(data.residues)} of ${count(all)} residues`, data.residues / all);
  } else if (data.kind === "answer") answers.push(data.answer);
  else if (data.kind === "failed") {
    finished("It was not computed.");
    message(data.why);
  } else if (data.kind === "done") {
    finished(`Computed in ${data.seconds.toFixed(1)} s on ${WHERE[data.computes]}.`);
    kept(data.computes);
    showAll();
  }
}

function finished(text) {
  told(text);
  predict.disabled = !ready;
  stop.hidden = true;
  document.body.dataset.state = "done";
}

function ask() {
  if (!ready || predict.disabled) return;
  document.body.dataset.state = "asked";
  try {
    proteins = readProteins(box.value, model.most);
  } catch (error) {
    document.body.dataset.state = "done";
    if (!(error instanceof Unreadable)) throw error;
    message(error.message);
    return;
  }
  asked += 1;
  answers = [];
  predict.disabled = true;
  stop.hidden = false;
  told("Computing …", 0);
  worker.postMessage({ kind: "ask", number: asked, proteins });
}

stop.onclick = () => {
  worker.terminate();
  asked += 1;
  ready = false;
  finished("Stopped; the model is being loaded again …");
  start();
};
predict.onclick = ask;
box.onkeydown = (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
};

async function take(file) {
  if (!file) return;
  if (file.size > 50e6) return message(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB, and this page takes 50. Use bench predict on your own machine.`);
  const text = await file.text();
  if (text.includes("\u0000") || text.includes("\ufffd")) return message(`${file.name} is no text. Files in FASTA are read, not compressed ones.`);
  if (!text.trim()) return message(`${file.name} is empty.`);
  box.value = text.includes(">") ? text : `>${file.name.replace(/\.[^.]*$/u, "").replace(/\s/gu, "_")}\n${text}`;
  ask();
}
at("file").onchange = (event) => take(event.target.files[0]);
for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  box.addEventListener(name, (event) => {
    event.preventDefault();
    box.classList.toggle("over", over);
    if (name === "drop") {
      if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
      else box.value = event.dataTransfer.getData("text");
    }
  });
}

const only = (name) => model.positive === null || name === model.positive;

function short(answer) {
  if (model.kind === "regression") {
    return answer.rows.length ? number(answer.rows.reduce((sum, row) => sum + row.scores[0], 0) / answer.rows.length) : "–";
  }
  const counts = new Map();
  for (const row of answer.rows) for (const label of row.labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  if (model.level !== "residue") return [...counts.keys()].join(", ") || "none";
  return [...counts].filter(([label]) => only(label)).map(([label, n]) => `${label} ${count(n)}`).join(", ") || "none";
}

function showAll() {
  const several = answers.length > 1;
  at("chosen").replaceChildren(...answers.map((one, i) => made("option", { value: i }, `${i + 1}. ${one.id}`)));
  at("chosen-row").hidden = at("all").hidden = !several;
  if (several) {
    const head = made("tr", {}, ...["id", "length", "predicted"].map((name) => made("th", { scope: "col" }, name)));
    const rows = answers.map((one) => made("tr", {}, ...[one.id, count(one.sequence.length), short(one)].map((text) => made("td", {}, text))));
    at("all").replaceChildren(made("table", {}, made("thead", {}, head), made("tbody", {}, ...rows)));
  }
  at("downloads").hidden = false;
  at("gff3").hidden = model.level !== "residue" || model.kind === "regression";
  show(answers[0]);
}
at("chosen").onchange = (event) => show(answers[event.target.value]);

function show(answer) {
  const length = answer.sequence.length;
  const read = answer.windows > 1 ? `, read in ${answer.windows} overlapping windows` : "";
  const parts = [made("h2", {}, answer.id), small(`${count(length)} residue${length === 1 ? "" : "s"}${read}`)];
  if (looksLikeDna(answer.sequence)) {
    parts.push(made("div", { class: "b-message" }, "This looks like DNA or RNA, and was read as a protein: A, C, G and T are also amino acids. Translate it first."));
  }
  const unknown = [...new Set(answer.sequence)].filter((letter) => model.unknown.includes(letter)).sort();
  if (unknown.length) parts.push(made("p", { class: "b-note" }, `Read as a residue that is not known: ${unknown.join(", ")}.`));
  parts.push(...(model.level === "residue" ? ofResidues(answer) : ofProtein(answer)));
  at("answer").replaceChildren(made("div", { class: "b-answer" }, ...parts));
}

function ofProtein({ rows: [row] }) {
  if (model.kind === "regression") {
    return [made("p", { class: "b-said" }, "Predicted value: ", made("strong", {}, number(row.scores[0])), model.unit ? ` ${model.unit}` : "")];
  }
  const limits = {};
  (model.thresholds ?? []).forEach((limit, i) => { limits[model.positive ?? model.labels[i]] = limit; });
  const order = row.scores.map((_, i) => i).sort((a, b) => row.scores[b] - row.scores[a]);
  const bars = order.slice(0, model.shown.labels).map((i) => {
    const name = model.labels[i], has = row.labels.includes(name);
    const track = made("div", { class: "b-track" }, made("div", { class: "b-fill", style: { width: `${100 * row.scores[i]}%` } }));
    if (name in limits) {
      track.append(made("div", { class: "b-limit", title: `threshold ${limits[name].toPrecision(3)}`, style: { left: `${100 * Math.min(limits[name], 1)}%` } }));
    }
    const title = made("th", { scope: "row" }, name);
    if (has) title.append(made("span", { class: "b-small" }, " ✓"));
    return made("tr", { class: has ? "b-yes" : "b-no" }, title, made("td", {}, track), made("td", {}, percent(row.scores[i])));
  });
  const mark = Object.keys(limits).length ? ", the mark is the decision threshold" : "";
  const parts = [
    made("p", { class: "b-said" }, "Predicted: ", made("strong", {}, row.labels.join(", ") || "none of the labels")),
    made("table", { class: "b-bars" }, made("caption", { class: "b-small" }, `Probability of each label${mark}`), made("tbody", {}, ...bars)),
  ];
  if (model.labels.length > model.shown.labels) {
    parts.push(small(`The ${model.shown.labels} likeliest of ${count(model.labels.length)} labels; all are in the table.`));
  }
  return parts;
}

function blocks(cells) {
  const size = model.shown.block, found = [];
  for (let start = 0; start < cells.length; start += size) {
    found.push(made("span", { class: "b-block" }, made("small", {}, String(start + 1)), ...cells.slice(start, start + size)));
  }
  return made("div", { class: "b-sequence" }, ...found);
}

function ofResidues({ sequence, rows }) {
  if (!rows.length) return [made("p", { class: "b-said" }, `It has no residue that this is about (${[...model.candidates].join(", ")}).`)];
  const byPlace = new Map(rows.map((row) => [row.position, row]));
  const letters = [...sequence.slice(0, model.shown.residues)];
  const rest = sequence.length - letters.length;
  const more = rest > 0 ? [small(`The first ${count(model.shown.residues)} residues are shown; ${count(rest)} more are in the table.`)] : [];
  if (model.kind === "regression") return [...ofValues(letters, rows, byPlace), ...more];
  const shown = model.labels.filter(only), colours = Object.fromEntries(shown.map((name, i) => [name, model.shown.palette[i % model.shown.palette.length]]));
  const code = (name) => model.shown.codes[model.labels.indexOf(name)];
  const cells = letters.map((residue, i) => {
    const row = byPlace.get(i + 1), label = row?.labels.find((name) => name in colours);
    const tip = `${residue}${i + 1}` + (row ? ": " + model.labels.map((name, k) => `${name} ${(100 * row.scores[k]).toFixed(0)} %`).join(", ") : "");
    const attributes = label ? { class: "b-r", title: tip, style: { background: colours[label] } } : { class: "b-r b-none", title: tip };
    return made("span", attributes, made("b", {}, residue), made("span", {}, label ? code(label) : "·"));
  });
  const legend = shown.map((name) => made("li", {}, made("i", { style: { background: colours[name] } }, code(name)),
    `${name} (${count(rows.filter((row) => row.labels.includes(name)).length)})`));
  const words = shown.map((name) => {
    const held = stretches(rows, name).map((run) => (run.length > 1 ? `${run[0].position} to ${run.at(-1).position}` : String(run[0].position)));
    return `${name}: ${held.join(", ") || "nowhere"}`;
  }).join("; ");
  return [
    made("ul", { class: "b-legend" }, ...legend), blocks(cells), ...more,
    model.positive !== null ? sites(sequence, rows)
      : plot(rows, shown.slice(0, model.shown.palette.length).map((name) => [colours[name], model.labels.indexOf(name)]), 0, 1, "Probabilities along the sequence", ["0 %", "100 %"]),
    ...(words.length < 4000 ? [small(`In words: ${words}.`)] : []),
  ];
}

function sites(sequence, rows) {
  const place = model.labels.indexOf(model.positive);
  const likeliest = [...rows].sort((a, b) => b.scores[place] - a.scores[place]).slice(0, model.shown.sites);
  const limit = model.thresholds ? `, decided at ${Number((100 * model.thresholds[0]).toPrecision(3))} %` : "";
  const head = ["Residue", "Probability", model.positive].map((name) => made("th", { scope: "col" }, name));
  const body = likeliest.map((row) => made("tr", {}, ...[`${sequence[row.position - 1]}${row.position}`, percent(row.scores[place]),
    row.labels.includes(model.positive) ? "yes" : "no"].map((text) => made("td", {}, text))));
  return made("table", { class: "b-sites" }, made("caption", { class: "b-small" }, `The ${likeliest.length} likeliest of ${count(rows.length)} residues${limit}`),
    made("thead", {}, made("tr", {}, ...head)), made("tbody", {}, ...body));
}

function ofValues(letters, rows, byPlace) {
  let low = Infinity, high = -Infinity, sum = 0;
  for (const { scores: [value] } of rows) {
    low = Math.min(low, value);
    high = Math.max(high, value);
    sum += value;
  }
  const cells = letters.map((residue, i) => {
    const row = byPlace.get(i + 1), share = row ? (row.scores[0] - low) / (high - low || 1) : 0;
    const tip = `${residue}${i + 1}` + (row ? `: ${number(row.scores[0])}` : "");
    return made("span", { class: "b-r", title: tip, style: { background: `hsl(205 70% ${(95 - 40 * share).toFixed(0)}%)` } }, made("b", {}, residue));
  });
  const unit = model.unit ? ` ${model.unit}` : "";
  return [made("p", { class: "b-said" }, `Mean ${number(sum / rows.length)}${unit}, from ${number(low)} to ${number(high)}`), blocks(cells),
    plot(rows, [["#2b7bba", 0]], low, high, "Values along the sequence", [number(low), number(high)])];
}

// One line for each series, residues from left to right.
function plot(rows, series, low, high, title, ends) {
  const width = 720, height = 110, left = 46, first = rows[0].position, last = rows.at(-1).position;
  const across = (width - left - 6) / Math.max(last - first, 1), span = high - low || 1;
  const lines = series.map(([colour, place]) => made("polyline", { fill: "none", stroke: colour, "stroke-width": 2,
    points: rows.map((row) => `${(left + (row.position - first) * across).toFixed(1)},${(8 + (height - 30) * (1 - (row.scores[place] - low) / span)).toFixed(1)}`).join(" ") }));
  return made("svg", { class: "b-plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title },
    made("text", { x: left - 6, y: 14, "text-anchor": "end" }, ends[1]), made("text", { x: left - 6, y: height - 20, "text-anchor": "end" }, ends[0]),
    made("line", { x1: left, x2: width - 6, y1: height - 22, y2: height - 22, stroke: "currentColor", opacity: .3 }),
    made("text", { x: left, y: height - 5 }, count(first)), made("text", { x: width - 6, y: height - 5, "text-anchor": "end" }, `residue ${count(last)}`), ...lines);
}

function save(name, type, text) {
  const link = made("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
at("tsv").onclick = () => save(`${model.task.name}.tsv`, "text/tab-separated-values", table(answers, model));
at("gff3").onclick = () => save(`${model.task.name}.gff3`, "text/plain", gff3(answers, model));

// A second visit then needs no network; where a browser does not keep files, it does.
async function kept(where) {
  if (where === computes) return;
  computes = document.body.dataset.computes = where;
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("offline.js");
    const there = await navigator.serviceWorker.ready;
    navigator.serviceWorker.onmessage = () => { document.body.dataset.kept = "yes"; };
    const { program, loader, binary } = model.programs[where];
    const others = Object.values(model.programs).map((one) => one.binary).filter((name) => name !== binary);
    const large = Object.entries(model.files).filter(([name]) => !others.includes(name)).map(([name, file]) => `${name}?sha256=${file.sha256}`);
    there.active.postMessage({ version: model.version, files: ["./", ...model.kept, program, loader, ...large] });
  } catch {
    // The page works all the same.
  }
}

async function begin() {
  if (["WebAssembly", "BigInt64Array", "Worker"].some((name) => !(name in globalThis))) return broken(TOO_OLD);
  try {
    model = await (await fetch("page.json")).json();
  } catch {
    return broken("The page could not be loaded whole. Load it again.");
  }
  at("examples").append(...Object.entries(model.examples).map(([name, sequence]) => {
    const button = made("button", { type: "button" }, name);
    button.onclick = () => {
      box.value = `>${name}\n${sequence}`;
      ask();
    };
    return button;
  }));
  return start();
}
begin();
