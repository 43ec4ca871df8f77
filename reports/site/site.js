"use strict";
// What is shown: the address says the view and the filters, so that every view can be kept and shared.

const SIZES = { "10M": ["up to 10 M", 0, 1e7], "100M": ["10 M to 100 M", 1e7, 1e8], "1B": ["100 M to 1 B", 1e8, 1e9], more: ["over 1 B", 1e9, Infinity] };
const COSTS = { parameters: "parameters of the checkpoint", w: "wall time of a run, seconds", e: "energy of a run, kWh", p: "trained parameters" };
const main = document.getElementById("main");
const form = document.getElementById("filters");
const dialog = document.getElementById("details");
let shown = { header: [], rows: [] }; // What "as CSV" saves.

function address() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = path.split("/");
  return { view: view || "overview", argument: decodeURIComponent(rest.join("/")), query: new URLSearchParams(query || "") };
}

// The filters stay from one view to the next.
function link(path, changes = {}) {
  const query = new URLSearchParams(address().query);
  query.delete("sort");
  for (const [name, value] of Object.entries(changes)) value ? query.set(name, value) : query.delete(name);
  const text = query.toString();
  return `#/${path}${text ? `?${text}` : ""}`;
}

function change(name, value) {
  const { view, argument, query } = address();
  value ? query.set(name, value) : query.delete(name);
  const path = [view === "overview" ? "" : view, argument && encodeURIComponent(argument)].filter(Boolean).join("/");
  const text = query.toString();
  history.replaceState(null, "", `#/${path}${text ? `?${text}` : ""}`);
  draw();
}

const armLink = (arm) => link(`model/${encodeURIComponent(arm.model)}`);

function armShown(arm, query) {
  const q = (query.get("q") || "").toLowerCase();
  const said = `${arm.name} ${arm.recipe} ${arm.revision}`.toLowerCase();
  if (!q.split(/\s+/).every((word) => said.includes(word))) return false;
  if (query.get("baselines") === "no" && arm.kind !== "checkpoint") return false;
  if (query.get("adaptation") && arm.adaptation !== query.get("adaptation")) return false;
  const size = SIZES[query.get("size")];
  return !size || (arm.parameters !== null && arm.parameters > size[1] && arm.parameters <= size[2]);
}

function tableShown(table, query) {
  return (!query.get("problem") || table.problem === query.get("problem")) && (!query.get("task") || table.task === query.get("task"));
}

// Of each task the table that ranks: the first one, which is of the latest version on all data.
function mainTables(query) {
  const seen = new Set();
  return DATA.tables.filter((table) => tableShown(table, query) && !seen.has(table.task) && seen.add(table.task));
}

const kindOf = (arm) => (arm.kind === "checkpoint" ? "" : arm.kind === "random" ? "low random" : "low");
// A long name breaks after its owner first.
const broken = (name) => name.split("/").map((part, i) => (i ? ["/", h("wbr"), part] : part));
const who = (arm, seeds = null) => [h("a", { href: armLink(arm) }, broken(arm.name)), h("span", { class: "sub" }, [arm.recipe, seeds && plural(seeds, "seed"), arm.revision && arm.revision.slice(0, 7)].filter(Boolean).join(" · "))];
const bestMark = (inside) => (inside === null ? "–" : inside ? h("span", { class: "best-mark", title: "in the best set" }, "●") : "");

function overview(query) {
  // With one task there is nothing to choose.
  if (DATA.counts.tasks === 1) return [...taskPage(query, DATA.tables[0].id).slice(1), ...outside()];
  const tables = mainTables(query);
  const parts = [h("h1", { class: "hidden" }, "Overview")];
  if (DATA.overall) parts.push(overallCard(query, tables));
  const rows = tables.map((table) => {
    const index = table.rows.findIndex((row) => armShown(DATA.arms[row.arm], query));
    const row = table.rows[index];
    return { table, row, index, arm: row && DATA.arms[row.arm], models: table.rows.filter((one) => armShown(DATA.arms[one.arm], query)).length };
  });
  // Errors, where less is better, have no place on an axis with shares and correlations.
  const inUnit = ({ table, row }) => row && row.v !== null && table.metric.higher && Math.abs(row.v) <= 1;
  const ends = axisOf(rows.filter(inUnit).flatMap(({ row }) => [row.v, row.l, row.h]));
  parts.push(h("section", { class: "card" }, h("div", { class: "head" }, h("h2", {}, "Tasks"), h("p", { class: "muted" }, "The best row shown of each; a task's page has all, with intervals and the best set.")), sortable({
    caption: "Tasks and their best row",
    sort: query.get("sort"), onsort: (value) => change("sort", value), rows,
    columns: [
      { key: "title", title: "Task", value: (one) => one.table.title, cell: ({ table }) => [h("a", { href: link(`task/${table.id}`) }, table.title), h("span", { class: "sub" }, [`version ${table.version}`, ...table.remarks].join(" · "))] },
      { key: "score", title: "Score", num: true, first: "descending", value: (one) => one.row && one.row.v, cell: ({ table, row, index }) => (row ? scoreButton(table, index) : "–") },
      { title: "95 % interval", means: "Each task on its own metric: rows are not to be compared with each other.", head: axis(ends), plot: true, cell: (one) => (inUnit(one) ? bar([one.row.v, one.row.l, one.row.h], ends) : "–") },
      { key: "metric", title: "Metric", value: (one) => one.table.metric.title, cell: ({ table }) => h("span", { title: table.metric.means || null }, unbroken(`${table.metric.title} ${table.metric.higher ? "↑" : "↓"}`)) },
      { key: "model", title: "Best shown", value: (one) => one.arm && one.arm.name, cell: ({ arm }) => (arm ? who(arm) : "–") },
      { title: "Trust", cell: ({ table }) => (table.trust ? h("span", { class: `trust ${table.trust.colour}`, title: table.trust.reason }, table.trust.colour) : "–") },
      { key: "problem", title: "Problem", value: (one) => one.table.problem, cell: ({ table }) => table.problem },
      { key: "rows", title: "Rows", num: true, first: "descending", value: (one) => one.models, cell: ({ models }) => models.toLocaleString("en") },
    ],
  })));
  say(`${plural(rows.length, "task")}${DATA.overall ? "" : `, ${plural(DATA.arms.filter((arm) => armShown(arm, query)).length, "row")}`}`);
  shown = { header: ["task", "version", "metric", "model", "recipe", "score", "low", "high"], rows: rows.map(({ table, row, arm }) => [table.task, table.version, table.metric.name, arm && arm.name, arm && arm.recipe, row && row.v, row && row.l, row && row.h]) };
  return [...parts, ...outside()];
}

// What stands in no table.
function outside() {
  const stopped = DATA.unfinished;
  return [
    DATA.notes.length ? h("div", { class: "note" }, DATA.notes.map((note) => h("p", {}, note))) : null,
    stopped.length ? h("section", { class: "card", id: "unfinished" }, h("div", { class: "head" }, h("h2", {}, "Not finished"), h("p", { class: "muted" }, `${plural(stopped.length, "run")} did not finish and stand${stopped.length === 1 ? "s" : ""} nowhere. The same command goes on with one.`)), sortable({ caption: "Runs that did not finish", rows: stopped, columns: [
      { title: "What", cell: (run) => [run.what, h("span", { class: "sub" }, h("code", {}, run.run))] }, { title: "Task", cell: (run) => [run.task, h("span", { class: "sub" }, `${run.recipe}, seed ${run.seed}`)] },
      { title: "Status", cell: (run) => h("span", { class: "missing" }, run.status) }, { title: "Why", cell: (run) => run.why || "–" }, { title: "Made by", cell: (run) => h("code", {}, run.command) }] })) : null,
  ];
}

function allTables(query) {
  const tables = DATA.tables.filter((table) => tableShown(table, query));
  if (!tables.length) return nothing("No task fits these filters.");
  const rows = tables.map((table) => shownRows(table, query));
  say(`${plural(rows.reduce((sum, some) => sum + some.length, 0), "row")} in ${plural(tables.length, "table")}`);
  shown = { header: ["task", "version", "remarks", "metric", "model", "recipe", "best_set", "score", "low", "high", "seeds"], rows: tables.flatMap((table, i) => rows[i].map(({ row, arm }) => [table.task, table.version, table.remarks.join("; "), table.metric.name, arm.name, arm.recipe, row.best_set, row.v, row.l, row.h, row.n])) };
  return [h("h1", { class: "hidden" }, "All tables"), ...tables.map((table, i) => resultsCard(table, query, rows[i], "h2"))];
}

function overallCard(query, tables) {
  const all = DATA.overall;
  const asked = new Set(tables.map((table) => table.task));
  const places = all.tasks.map((task, i) => (asked.has(task) ? i : -1)).filter((i) => i >= 0);
  const whole = places.length === all.tasks.length;
  let rows = all.rows.filter((row) => armShown(DATA.arms[row.arm], query));
  // Over a part of the tasks the mean of their ranks is what can be said; the intervals are of all tasks.
  const mean = (row) => { const known = places.map((i) => row.ranks[i]).filter((rank) => rank !== null); return known.length === places.length && known.length ? known.reduce((a, b) => a + b) / known.length : null; };
  if (!whole) rows = rows.map((row) => ({ ...row, best_set: null, rank: [mean(row), null, null] })).sort(comparing((row) => row.rank[0], "ascending"));
  const ends = axisOf(rows.flatMap((row) => row.rank));
  const percent = ([value, low, high], digits) => (value === null ? "–" : [value.toFixed(digits), low !== null && h("span", { class: "sub" }, `${low.toFixed(digits)} to ${high.toFixed(digits)}`)]);
  const columns = [
    { title: "Best set", cell: (row) => bestMark(row.best_set) },
    { key: "model", title: "Model", value: (row) => DATA.arms[row.arm].name, cell: (row) => [who(DATA.arms[row.arm]), row.ranks.includes(null) ? h("span", { class: "missing" }, row.coverage) : null] },
    { key: "rank", title: "Mean rank", num: true, value: (row) => row.rank[0], cell: (row) => [h("span", { class: "score", title: all.tasks.map((task, i) => `${task}: ${row.ranks[i] === null ? "no result" : `rank ${row.ranks[i]}`}`).join("\n") }, row.rank[0] === null ? "–" : row.rank[0].toFixed(2)), row.rank[1] !== null && h("span", { class: "sub" }, `${row.rank[1].toFixed(2)} to ${row.rank[2].toFixed(2)}`)] },
    { title: "1 is best", head: axis(ends), plot: true, cell: (row) => bar(row.rank, ends) },
  ];
  if (whole) columns.push(
    { key: "borda", title: "Borda share", num: true, first: "descending", value: (row) => row.borda[0], cell: (row) => percent(row.borda, 2) },
    { key: "improvability", title: "Improvability, %", num: true, value: (row) => row.improvability[0], cell: (row) => percent(row.improvability, 1) });
  columns.push({ key: "parameters", title: "Parameters", num: true, value: (row) => DATA.arms[row.arm].parameters, cell: (row) => count(DATA.arms[row.arm].parameters) });
  const caption = whole ? `Rank over ${plural(all.tasks.length, "task")}` : `Mean rank over ${plural(places.length, "task")} of ${all.tasks.length}, without interval`;
  return h("section", { class: "card", id: "overall" }, h("div", { class: "head" }, h("h2", {}, "Over the tasks"), h("p", { class: "muted" }, "Rows with ● may be the best, at 95 %. A missing result is shown, and counts as nothing.")),
    rows.length && places.length ? sortable({ caption, columns, rows, lines: plotLines(ends), sort: query.get("sort"), onsort: (value) => change("sort", value), classes: (row) => kindOf(DATA.arms[row.arm]), grouped: whole ? (row) => row.best_set : null, label: 1 }) : h("p", { class: "none" }, "No row fits these filters."),
    h("div", { class: "note" }, all.notes.map((note) => h("p", {}, note))));
}

function scoreButton(table, index) {
  const row = table.rows[index];
  return [h("button", { type: "button", class: "link score", title: `${exact(table.metric.title, table.split, [row.v, row.l, row.h])}\nPress for where it is from`, onclick: () => openDetails(table, index) }, number(row.v)), interval(row.l, row.h) && h("span", { class: "sub" }, interval(row.l, row.h) + (row.o ? " †" : ""))];
}

const shownRows = (table, query) => table.rows.map((row, index) => ({ row, index, arm: DATA.arms[row.arm] })).filter(({ arm }) => armShown(arm, query));

// To five digits, where pointing at a number asks for more than it shows.
function exact(title, split, [value, low, high]) {
  const text = (x) => String(Number(x.toPrecision(5)));
  return value === null ? `${title} on ${split}: not defined in every seed` : `${title} on ${split}: ${text(value)}${low === null || high === null ? "" : `\n95 % interval ${text(low)} to ${text(high)}`}`;
}

// A heading that may break after the name of its split, and nowhere else.
const unbroken = (title) => title.replaceAll(" ", "\u00a0").replace(":\u00a0", ": ");

// A table of results. Of several on a page each sorts by itself.
function resultsCard(table, query, rows, level) {
  const ends = axisOf(rows.flatMap(({ row }) => [row.v, row.l, row.h]));
  const best = table.metric.higher ? "descending" : "ascending";
  const own = level === "h2" ? `${table.id}.` : "";
  const sort = query.get("sort") || "";
  const first = (fits) => (rows.find(({ row, arm }) => row.v !== null && fits(arm)) || { row: { v: null } }).row.v;
  // Of what is shown; the rows stand best first.
  const [top, low] = [first(() => true), first((arm) => arm.kind !== "checkpoint")];
  const columns = [
    { key: "order", title: "#", num: true, value: ({ index }) => index, cell: ({ index }) => String(index + 1) },
    { title: "Best set", cell: ({ row }) => bestMark(row.best_set) },
    { key: "model", title: "Model", value: ({ arm }) => arm.name, cell: ({ arm, row }) => who(arm, row.n) },
    { key: "score", title: unbroken(table.metric.title), means: table.metric.means, num: true, first: best, value: ({ row }) => row.v, cell: ({ index }) => scoreButton(table, index) },
    { title: "95 % interval", head: axis(ends), plot: true, cell: ({ row }) => bar([row.v, row.l, row.h], ends) },
    ...table.columns.map((column, i) => ({ key: `c${i}`, means: column.means, title: unbroken(column.split === table.split ? column.title : `${column.split}: ${column.title}`), num: true, first: column.higher ? "descending" : "ascending", value: ({ row }) => row.c[i][0], cell: ({ row }) => h("span", { title: exact(column.title, column.split, row.c[i]) }, number(row.c[i][0])) })),
    { key: "parameters", title: "Parameters", num: true, value: ({ arm }) => arm.parameters, cell: ({ arm }) => count(arm.parameters) },
    { key: "time", title: "Time", num: true, value: ({ row }) => row.w, cell: ({ row }) => duration(row.w) },
    { title: "", cell: ({ index, arm }) => h("button", { type: "button", class: "small", "aria-label": `Where the numbers of ${arm.name} are from`, onclick: () => openDetails(table, index) }, "Provenance") },
  ];
  const tags = [h("span", { class: "tag" }, `version ${table.version}`), table.remarks.map((remark) => h("span", { class: "tag" }, remark))];
  return h("section", { class: "card" }, h("div", { class: "head" },
    top === null ? null : h("p", { class: "keys", "aria-hidden": "true" }, h("span", {}, h("i", {}), "best score"), low === null ? null : h("span", {}, h("i", { class: "low" }), "best baseline")),
    h(level, {}, own ? h("a", { href: link(`task/${table.id}`) }, table.title) : table.title, tags),
    h("p", {}, table.summary),
    table.trust && h("p", { class: `trust ${table.trust.colour}` }, h("b", {}, `${table.trust.colour}, ${table.trust.meaning}`), `: ${table.trust.reason}`),
    h("p", { class: "facts" }, `${table.facts}; data licence ${table.licence}`)),
  rows.length ? sortable({ caption: `${table.metric.title} on ${table.split}, ${table.metric.higher ? "higher" : "lower"} is better`, columns, rows, lines: plotLines(ends, top, low), own, most: own ? Math.max(20, Math.ceil((2 * CHUNK) / DATA.tables.length)) : CHUNK, sort: sort.startsWith(own) ? sort.slice(own.length) : "", onsort: (value) => change("sort", value && own + value), classes: ({ arm }) => kindOf(arm), grouped: ({ row }) => row.best_set, label: 2 }) : h("p", { class: "none" }, "No row fits these filters."));
}

function taskPage(query, id) {
  const table = TABLES.get(id);
  if (!table) return nothing(`There is no task ${id} here.`);
  const rows = shownRows(table, query);
  const others = DATA.tables.filter((other) => other.task === table.task && other !== table);
  say(`${plural(rows.length, "row")} of ${table.rows.length.toLocaleString("en")}`);
  shown = { header: ["model", "recipe", "best_set", table.metric.name, "low", "high", ...table.columns.map((c) => `${c.split} ${c.name}`), "seeds", "seconds"], rows: rows.map(({ row, arm }) => [arm.name, arm.recipe, row.best_set, row.v, row.l, row.h, ...row.c.map((c) => c[0]), row.n, row.w]) };
  return [
    h("p", { class: "crumbs" }, h("a", { href: link("") }, "Overview"), " › ", "Task"),
    resultsCard(table, query, rows, "h1"),
    table.published.length ? h("section", { class: "card" }, h("div", { class: "head" }, h("h2", {}, "Published numbers"), h("p", { class: "muted" }, "Read from the literature, not measured here: data, training and selection differ. They say what to expect, and are no ranking.")), sortable({ caption: "Numbers from the literature", rows: table.published, columns: [
      { title: "What", cell: (known) => known.what }, { title: "How", cell: (known) => known.how }, { title: "Metric", cell: (known) => known.metric },
      { title: "Value", num: true, cell: (known) => [number(known.value), known.spread ? ` ${known.spread}` : ""] }, { title: "Split", cell: (known) => known.split }, { title: "Source", cell: (known) => known.source }, { title: "Note", cell: (known) => known.note || "–" }] })) : null,
    h("section", { class: "card" }, h("div", { class: "head" }, h("h2", {}, "Data"), safe(table.homepage) ? h("p", {}, h("a", { href: safe(table.homepage), rel: "noopener" }, "Home of the data")) : null), sortable({ caption: "Splits, after cleaning", rows: table.splits, columns: [
      { title: "Split", cell: (split) => split.name }, ...["proteins", "residues", "labelled"].map((key) => ({ title: key[0].toUpperCase() + key.slice(1), num: true, cell: (split) => split[key].toLocaleString("en") }))] }),
      h("div", { class: "note" }, table.notes.map((note) => h("p", {}, note)), h("p", {}, "Task file ", h("code", {}, table.hash.slice(0, 16)), ", data ", h("code", {}, table.data.slice(0, 16)), `, protocol ${table.protocol}.`), table.citation ? h("p", {}, table.citation.startsWith("@") ? h("code", {}, table.citation) : table.citation) : null)),
    others.length ? h("p", {}, "Other tables of this task: ", others.map((other, i) => [i ? ", " : "", h("a", { href: link(`task/${other.id}`) }, [`version ${other.version}`, ...other.remarks].join(" · "))])) : null,
  ];
}

// Addresses in records are somebody's text.
const safe = (url) => (/^https?:\/\//.test(url) ? url : null);

function modelPage(query, name) {
  const arms = DATA.arms.map((arm, index) => ({ arm, index })).filter(({ arm }) => arm.model === name);
  if (!arms.length) return nothing(`There is no model ${name} here.`);
  const own = new Set(arms.map(({ index }) => index));
  const rows = DATA.tables.filter((table) => tableShown(table, query)).flatMap((table) => table.rows.map((row, index) => ({ table, row, index, arm: DATA.arms[row.arm] })).filter(({ row }) => own.has(row.arm)));
  const { arm } = arms[0];
  const facts = [arm.parameters && `${count(arm.parameters)} parameters`, arm.family && `family ${arm.family}`, arm.licence && `licence ${arm.licence}`].filter(Boolean);
  say(plural(rows.length, "result"));
  shown = { header: ["task", "version", "remarks", "model", "recipe", "metric", "score", "low", "high", "best_set", "seeds"], rows: rows.map(({ table, row, arm: one }) => [table.task, table.version, table.remarks.join("; "), one.name, one.recipe, table.metric.name, row.v, row.l, row.h, row.best_set, row.n]) };
  return [
    h("p", { class: "crumbs" }, h("a", { href: link("") }, "Overview"), " › ", "Model"),
    h("section", { class: "card" }, h("div", { class: "head" }, h("h1", {}, name), h("p", { class: "facts" }, facts.join(" · "), arm.hub ? [facts.length ? " · " : "", h("a", { href: `https://huggingface.co/${arm.hub}`, rel: "noopener" }, "on the Hub")] : null), arm.revision ? h("p", { class: "facts" }, "Revision ", [...new Set(arms.map((one) => one.arm.revision))].map((revision) => [h("code", {}, revision.slice(0, 12)), " "])) : null),
      rows.length ? sortable({ caption: `All results of ${name}`, sort: query.get("sort"), onsort: (value) => change("sort", value), rows, columns: [
        { key: "title", title: "Task", value: (one) => one.table.title, cell: ({ table }) => [h("a", { href: link(`task/${table.id}`) }, table.title), h("span", { class: "sub" }, [`version ${table.version}`, ...table.remarks].join(" · "))] },
        { title: "Score", num: true, cell: ({ table, index }) => scoreButton(table, index) },
        { title: "95 % interval", plot: true, cell: ({ table, row }) => bar([row.v, row.l, row.h], axisOf(table.rows.flatMap((one) => [one.v, one.l, one.h]))) },
        { key: "recipe", title: "Recipe", value: (one) => one.arm.recipe, cell: (one) => one.arm.recipe },
        { key: "metric", title: "Metric", value: (one) => one.table.metric.title, cell: ({ table }) => h("span", { title: table.metric.means || null }, unbroken(`${table.metric.title} ${table.metric.higher ? "↑" : "↓"}`)) },
        { key: "best_set", title: "Best set", value: ({ row }) => Number(!row.best_set), cell: ({ row }) => bestMark(row.best_set) },
        { key: "place", title: "Place", num: true, value: ({ index }) => index, cell: ({ table, index }) => `${index + 1} of ${table.rows.length}` },
        { key: "seeds", title: "Seeds", num: true, value: ({ row }) => row.n, cell: ({ row }) => String(row.n) },
      ] }) : h("p", { class: "none" }, "No result fits these filters.")),
  ];
}

function mapPage(query) {
  const tables = mainTables(query);
  const places = new Map();
  const cells = tables.map((table) => {
    const found = new Map();
    const fitting = table.rows.map((row, index) => ({ table, row, index })).filter(({ row }) => row.v !== null && armShown(DATA.arms[row.arm], query));
    const values = fitting.map(({ row }) => row.v);
    const [worst, best] = table.metric.higher ? [Math.min(...values), Math.max(...values)] : [Math.max(...values), Math.min(...values)];
    for (const cell of fitting) {
      found.set(cell.row.arm, { ...cell, share: best === worst ? 1 : (cell.row.v - worst) / (best - worst), best: cell.row.v === best });
      places.set(cell.row.arm, [...(places.get(cell.row.arm) || []), cell.index]);
    }
    return found;
  });
  const rank = new Map((DATA.overall ? DATA.overall.rows : []).map((row, i) => [row.arm, i]));
  const order = [...places.keys()].sort((a, b) => (rank.get(a) ?? 1e9) - (rank.get(b) ?? 1e9) || places.get(b).length - places.get(a).length || places.get(a)[0] - places.get(b)[0]);
  const rows = order.map((index) => ({ arm: DATA.arms[index], cells: cells.map((found) => found.get(index) || null) }));
  say(`${plural(rows.length, "row")}, ${plural(tables.length, "task")}`);
  shown = { header: ["model", "recipe", ...tables.map((table) => table.task)], rows: rows.map(({ arm, cells: found }) => [arm.name, arm.recipe, ...found.map((cell) => cell && cell.row.v)]) };
  return [h("section", { class: "card" }, h("div", { class: "head" }, h("h1", {}, "Models by tasks"), h("p", { class: "muted" }, "Scores of different tasks are not comparable with each other; read down a column.")), rows.length ? heatMap({ rows, tables, onopen: openDetails, href: armLink }) : h("p", { class: "none" }, "No row fits these filters."))];
}

function tradePage(query, id) {
  const tables = mainTables(query);
  if (!tables.length) return nothing("No task fits these filters.");
  const table = TABLES.get(id) || tables[0];
  const cost = COSTS[query.get("x")] ? query.get("x") : "parameters";
  const rows = table.rows.map((row, index) => ({ row, index, arm: DATA.arms[row.arm] })).filter(({ arm, row }) => armShown(arm, query) && row.v !== null);
  const points = rows.map(({ row, arm }) => ({ x: cost === "parameters" ? arm.parameters : row[cost], y: row.v, low: row.l, high: row.h, name: arm.name, adaptation: arm.kind === "random" ? `${arm.adaptation}, random weights` : arm.adaptation, href: armLink(arm) })).filter(({ x }) => x > 0);
  const choose = (name, options, current, onchange) => h("label", {}, name, h("select", { onchange: (event) => onchange(event.target.value) }, options.map(([value, text]) => h("option", { value, selected: value === current }, text))));
  say(`${plural(points.length, "point")}${points.length < rows.length ? `, ${rows.length - points.length} without ${COSTS[cost]}` : ""}`);
  shown = { header: ["model", "adaptation", COSTS[cost], table.metric.name, "low", "high"], rows: points.map((p) => [p.name, p.adaptation, p.x, p.y, p.low, p.high]) };
  return [h("section", { class: "card" }, h("div", { class: "head" }, h("h1", {}, "Score and cost"), h("p", {}, h("a", { href: link(`task/${table.id}`) }, table.title), h("span", { class: "muted" }, ` · ${table.facts}`))),
    h("div", { class: "controls" }, choose("Task", tables.map((one) => [one.id, one.title]), table.id, (value) => { location.hash = link(`trade/${value}`); }), choose("Against", Object.entries(COSTS), cost, (value) => change("x", value))),
    points.length ? scatter({ points, higher: table.metric.higher, xTitle: COSTS[cost], yTitle: table.metric.title, title: `${table.metric.title} against ${COSTS[cost]}` }) : h("p", { class: "none" }, `No row has ${COSTS[cost]}.`),
    cost === "w" || cost === "e" ? h("div", { class: "note" }, h("p", {}, "Time and energy are of whole runs, on whatever machine made them: compare rows of one machine (see Provenance).")) : null)];
}

function readPage() {
  say("");
  const part = (title, ...texts) => [h("h2", {}, title), texts.map((text) => h("p", {}, text))];
  return [h("section", { class: "card read" }, h("h1", {}, "How to read it"),
    part("A row", "is one checkpoint at one commit, or one baseline, under one recipe. Its seeds are averaged. Rows stand in one table only where they answer the same question: the same task file and version, the same data and test rows, the same protocol. Random weights are the checkpoint's architecture without what it learned, and count as a baseline."),
    part("Intervals", DATA.meanings.interval), part("Best set", DATA.meanings.best_set),
    part("Over the tasks", ...(DATA.overall ? DATA.overall.notes : ["Scores of different tasks are never averaged."])),
    part("Trust", "A task's trust says how far its test score measures generalisation: green as it stands, amber with the reservation beside it, red not for ranking."),
    part("Provenance", "Every score opens its runs: identity, seeds, commits, data by checksum, environment, and the command that makes it again. Nothing here was typed by hand; what was measured was measured by whoever ran it."),
  )];
}

function nothing(text) {
  say("");
  return [h("section", { class: "card" }, h("p", { class: "none" }, text, " ", h("a", { href: "#/" }, "Overview")))];
}

// Drawing

function say(text) {
  document.getElementById("status").textContent = text;
}

function draw(moved = false) {
  const { view, argument, query } = address();
  const pages = { overview, tables: allTables, task: taskPage, model: modelPage, map: mapPage, trade: tradePage, read: readPage };
  const held = main.contains(document.activeElement) ? document.activeElement.dataset.sort : null;
  main.replaceChildren(...(pages[view] ? pages[view](query, argument) : nothing("There is no such page.")).filter(Boolean));
  for (const one of document.querySelectorAll("nav a")) {
    const current = one.dataset.view === view;
    current ? one.setAttribute("aria-current", "page") : one.removeAttribute("aria-current");
    one.href = link(one.dataset.view === "overview" ? "" : one.dataset.view);
  }
  for (const name of ["q", "problem", "task", "size", "adaptation"]) if (form.elements[name].value !== (query.get(name) || "")) form.elements[name].value = query.get(name) || "";
  form.elements.baselines.checked = query.get("baselines") !== "no";
  const title = main.querySelector("h1");
  document.title = title && view !== "overview" ? `${title.firstChild.textContent} · bench leaderboard` : "bench leaderboard";
  settle();
  // Whoever sorts by the keyboard stays where they are.
  if (held) main.querySelector(`[data-sort="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
  if (moved) { main.focus({ preventScroll: true }); scrollTo(0, 0); }
}

// A head that stays in sight needs a table that does not scroll by itself.
function settle() {
  const above = getComputedStyle(form).position === "sticky" ? form.offsetHeight : 0;
  document.documentElement.style.setProperty("--above", `${above}px`);
  const parts = [...main.querySelectorAll(".scroll")];
  for (const part of parts) part.classList.remove("fits");
  const fits = parts.map((part) => part.scrollWidth <= part.clientWidth);
  parts.forEach((part, i) => part.classList.toggle("fits", fits[i]));
}

function options(name, pairs) {
  form.elements[name].append(...pairs.map(([value, text]) => h("option", { value }, text)));
  // Nothing to choose from.
  form.elements[name].closest("label").hidden = pairs.length < 2;
}

options("problem", [...new Set(DATA.tables.map((table) => table.problem))].sort().map((one) => [one, one]));
options("task", [...new Map(DATA.tables.map((table) => [table.task, table.title]))].sort((a, b) => a[1].localeCompare(b[1])));
options("size", Object.entries(SIZES).map(([key, [text]]) => [key, text]));
options("adaptation", [...new Set(DATA.arms.map((arm) => arm.adaptation))].sort().map((one) => [one, one]));
form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", (event) => { const { name, value, type, checked } = event.target; change(name, type === "checkbox" ? (checked ? "" : "no") : value); });
form.addEventListener("reset", (event) => { event.preventDefault(); const { view, argument } = address(); history.replaceState(null, "", `#/${[view === "overview" ? "" : view, argument && encodeURIComponent(argument)].filter(Boolean).join("/")}`); draw(); });
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
document.getElementById("shown-csv").addEventListener("click", () => {
  // As hubtools/common/escaping.py: a spreadsheet computes what begins so, unless it is a number.
  const inert = (cell) => (typeof cell === "string" && cell.length > 1 && /^[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]/.test(cell) && Number.isNaN(Number(cell)) ? `'${cell}` : cell);
  const quoted = (cell) => (cell === null || cell === undefined ? "" : /[",\n]/.test(cell) ? `"${String(inert(cell)).replaceAll('"', '""')}"` : inert(cell));
  save("shown.csv", "text/csv;charset=utf-8", `${[shown.header, ...shown.rows].map((row) => row.map(quoted).join(",")).join("\n")}\n`);
});
document.getElementById("all-json")?.addEventListener("click", () => save("results.json", "application/json", `${JSON.stringify(DATA, null, 1)}\n`));

function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

// On a phone the results come first, and what filters them where it is asked for.
const folded = document.getElementById("fold");
folded.addEventListener("click", () => folded.setAttribute("aria-expanded", String(form.classList.toggle("open"))));

const theme = document.getElementById("theme");
function dark(on) {
  document.documentElement.classList.toggle("dark", on);
  document.documentElement.classList.toggle("light", !on);
  theme.setAttribute("aria-pressed", String(on));
}
let kept = null;
try { kept = localStorage.getItem("bench-theme"); } catch { /* A page from a disk may have no storage. */ }
dark(kept ? kept === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
theme.addEventListener("click", () => {
  const on = !document.documentElement.classList.contains("dark");
  dark(on);
  try { localStorage.setItem("bench-theme", on ? "dark" : "light"); } catch { /* Then it lasts as long as the page. */ }
});
// On paper there is no button to press.
addEventListener("beforeprint", () => { for (const button of main.querySelectorAll(".more:not([hidden]) button")) button.click(); });
addEventListener("resize", settle);
addEventListener("hashchange", () => draw(true));
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
draw();
