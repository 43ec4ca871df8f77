"use strict";
// Where a number is from: inside the page, or in a file beside it that is loaded when it is asked for.

const waiting = new Map();
const loaded = new Map();
window.benchDetails = (id, details) => { loaded.set(id, details); (waiting.get(id) || []).forEach((then) => then()); waiting.delete(id); };

function load(id) {
  const inside = document.getElementById(`details-${id}`);
  if (inside && !loaded.has(id)) loaded.set(id, JSON.parse(inside.textContent));
  if (loaded.has(id)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    waiting.set(id, [...(waiting.get(id) || []), resolve]);
    document.head.append(h("script", { src: `data/${id}.js`, onerror: () => reject(new Error(`data/${id}.js is not there`)) }));
  });
}

function openDetails(table, index) {
  const row = table.rows[index];
  const arm = DATA.arms[row.arm];
  const close = h("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close");
  const body = h("div", {}, h("p", { class: "muted" }, "Loading …"));
  const score = `${table.metric.title} ${number(row.v)}${interval(row.l, row.h) ? `, 95 % interval ${interval(row.l, row.h)}` : ""}`;
  dialog.replaceChildren(close, h("h2", { id: "details-title" }, arm.name), h("p", { class: "muted" }, `${table.title}, version ${table.version} · ${arm.recipe} · ${score}`), body);
  dialog.showModal();
  load(table.id).then(() => body.replaceChildren(...provenance(table, row, arm, loaded.get(table.id), index)), (error) => body.replaceChildren(h("p", { class: "missing" }, `Provenance could not be loaded: ${error.message}.`)));
}

function provenance(table, row, arm, { shared, rows }, index) {
  const about = shared[rows[index].about];
  const runs = rows[index].runs;
  const facts = (pairs) => h("dl", {}, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  const set = Object.entries(about.recipe.set);
  return [
    facts([
      ["Checkpoint", arm.hub ? [h("a", { href: `https://huggingface.co/${arm.hub}`, rel: "noopener" }, arm.model), " at ", h("code", {}, arm.revision)] : arm.revision ? [arm.model, " sha256 ", h("code", {}, arm.revision)] : null],
      ["Recipe", [about.recipe.name, " ", h("code", {}, about.recipe.hash.slice(0, 12)), set.length ? `, ${set.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(", ")}` : ""]],
      ["Trained parameters", row.p === null ? null : row.p.toLocaleString("en")],
      ...about.how,
      ["Task", ["version ", String(table.version), ", file ", h("code", {}, table.hash.slice(0, 16))]],
      ["Test rows", about.rows_sha256 ? h("code", {}, about.rows_sha256) : null],
      ["Energy of a run", row.e === null ? null : `${row.e.toPrecision(3)} kWh`],
    ]),
    h("h3", {}, plural(runs.length, "run")),
    sortable({ caption: "Runs", rows: runs, columns: [
      { title: "Seed", cell: (run) => String(run.seed) },
      { title: table.metric.title, cell: (run) => (run.score ? `${number(run.score[0])}${interval(run.score[1], run.score[2]) ? ` (${interval(run.score[1], run.score[2])})` : ""}` : "–") },
      { title: "Run", cell: (run) => h("code", {}, run.run) },
      { title: "When", cell: (run) => run.when },
      { title: "Where", cell: (run) => `${shared[run.where].device}, ${shared[run.where].precision}, ${duration(run.seconds)}` },
      { title: "Code", cell: (run) => codeOf(shared[run.where]) },
    ] }),
    h("h3", {}, "Make it again"), h("pre", {}, runs.map((run) => run.command).join("\n")),
    about.files.length ? [h("h3", {}, "Data files"), facts(about.files.map((file) => [file.name, [file.location, file.sha256 ? [" ", h("code", {}, file.sha256.slice(0, 16))] : ""]]))] : null,
  ].flat(Infinity).filter(Boolean);
}

function codeOf({ bench, git_commit: commit, git_dirty: dirty, packages }) {
  return [`bench ${bench}`, commit ? [" ", h("code", {}, commit.slice(0, 10)), dirty ? " with changes" : ""] : "", ...Object.entries(packages).map(([name, version]) => `, ${name} ${version}`)];
}
