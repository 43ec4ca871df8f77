// The model, away from the page so that it stays alive: loads the files of this folder, and answers protein by protein.

import { Unreadable, decided, pieces, scoresOf, tokensOf } from "./proteins.js";

let model, tokens, ort, graph, head, computes;

const IN_WORDS = /memory|allocat|RangeError|bad_alloc|out of bounds/iu;

function why(error) {
  const text = String(error?.message ?? error);
  return IN_WORDS.test(text)
    ? "This browser does not have the memory that the model needs for this. Close other pages, ask for fewer or shorter proteins, or use bench predict on your own machine."
    : text;
}

// A file of this folder, saying how much of it has arrived.
async function fetched(name, onBytes) {
  const answer = await fetch(`${name}?sha256=${model.files[name].sha256}`);
  if (!answer.ok) throw new Error(`The file ${name} of this page could not be loaded (${answer.status}). Load the page again.`);
  const parts = [], reader = answer.body.getReader();
  let held = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    held += value.length;
    onBytes(held);
  }
  const whole = new Uint8Array(held);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// Whether there is a graphics processor that this browser computes with, and no program that imitates one: that is slower than the
// processor. "?on=processor" and "?on=graphics" behind the page's address decide it.
async function graphics() {
  const asked = new URL(self.location.href).searchParams.get("on");
  if (!model.programs.webgpu || asked === "processor" || !("Suspending" in WebAssembly)) return false;
  try {
    const adapter = await navigator.gpu?.requestAdapter();
    return Boolean(adapter) && (asked === "graphics" || !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter));
  } catch {
    return false;
  }
}

// The graphs in one of the programs: "webgpu", or "wasm" for the processor.
async function open(where) {
  const { program, binary } = model.programs[where];
  const graphs = ["model.onnx", "head.onnx"].filter((name) => name in model.files);
  const total = [binary, ...graphs].reduce((sum, name) => sum + model.files[name].bytes, 0), arrived = {};
  const told = (name) => (held) => {
    arrived[name] = Math.min(held, model.files[name].bytes);
    postMessage({ kind: "arrived", bytes: Object.values(arrived).reduce((a, b) => a + b, 0), total });
  };
  ort = await import(`./${program}`);
  // Threads need a page that is isolated from others, which its server says.
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 4) : 1;
  ort.env.wasm.wasmPaths = new URL("./runtime/", self.location.href).href;
  ort.env.logLevel = "error";
  ort.env.wasm.wasmBinary = (await fetched(binary, told(binary))).buffer;
  // Products with weights of eight bits are computed in float32, as where they were measured.
  const options = { executionProviders: [where], logSeverityLevel: 3, extra: { session: { qdq_matmulnbits_accuracy_level: "1" } } };
  const made = async (name) => name in model.files ? ort.InferenceSession.create(await fetched(name, told(name)), options) : undefined;
  graph = await made("model.onnx");
  head = await made("head.onnx");
  computes = where;
}

// By how much the protein that page.json holds gets other scores than where the page was made: of their size, above 1.
async function apart() {
  const { sequence, scores } = model.known;
  const { rows } = await answer({ id: "known", sequence }, () => {});
  return Math.max(...rows.map((row) => Math.max(...row.scores.map((score, i) => {
    const known = scores[(row.position ?? 1) - 1][i];
    return Math.abs(score - known) / Math.max(1, Math.abs(known));
  }))));
}

async function load() {
  model = await (await fetch("page.json")).json();
  tokens = await (await fetch("tokens.json")).json();
  let right = false;
  if (await graphics()) {
    try {
      await open("webgpu");
      const found = await apart();
      right = found <= model.known.allowed;
      if (!right) console.info(`The graphics processor is not used: what it says differs by ${found}.`);
    } catch (error) {
      console.info(`The graphics processor is not used: ${error?.message ?? error}`);
    }
  }
  if (!right) await open("wasm");
  postMessage({ kind: "ready", computes });
}

const whole = (values) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);

// What the graph gives for one window, and how many residues of its core it read.
async function read(sequence, piece) {
  const { ids, core } = tokensOf(sequence, piece, tokens);
  const inputs = { input_ids: whole(ids), attention_mask: whole(ids.map(() => 1)) };
  if (graph.inputNames.includes("residue_mask")) inputs.residue_mask = whole(core);
  const out = (await graph.run(inputs))[graph.outputNames[0]];
  const values = await out.getData();
  return { values, core, width: out.dims.at(-1) };
}

async function answer(protein, onRead) {
  const { sequence } = protein, cut = pieces(sequence.length, model.window.residues, model.window.overlap);
  const rows = [];
  let summed = null, counted = 0;
  for (const piece of cut) {
    const { values, core, width } = await read(sequence, piece);
    if (model.level === "residue") {
      core.forEach((inside, place) => {
        if (!inside) return;
        const position = piece[0] + place - tokens.before.length + 1;
        if (model.candidates && !model.candidates.includes(sequence[position - 1])) return;
        const scores = scoresOf(values.subarray(place * width, (place + 1) * width), model.kind);
        rows.push({ position, scores, labels: decided(scores, model) });
      });
    } else {
      summed = summed ?? new Float32Array(width);
      for (let i = 0; i < width; i++) summed[i] += values[i];
      counted += head ? piece[3] - piece[2] : 1;
    }
    onRead(piece[3] - piece[2]);
  }
  if (summed) {
    let logits = summed.map((value) => value / counted);
    if (head) {
      const out = await head.run({ means: new ort.Tensor("float32", logits, [1, logits.length]) });
      logits = await out[head.outputNames[0]].getData();
    }
    const scores = scoresOf(logits, model.kind);
    rows.push({ position: null, scores, labels: decided(scores, model) });
  }
  return { id: protein.id, sequence, windows: cut.length, rows };
}

self.onmessage = async ({ data }) => {
  try {
    if (data.kind === "load") await load();
    else {
      let done = 0;
      const began = performance.now();
      for (const protein of data.proteins) {
        const before = done;
        const read = (residues) => {
          done += residues;
          postMessage({ kind: "read", number: data.number, residues: done });
        };
        const found = await answer(protein, read).catch(async (error) => {
          // A graphics processor that others need, or whose memory is full.
          if (computes === "wasm" || error instanceof Unreadable) throw error;
          await open("wasm");
          done = before;
          return answer(protein, read);
        });
        postMessage({ kind: "answer", number: data.number, answer: found });
      }
      postMessage({ kind: "done", number: data.number, computes, seconds: (performance.now() - began) / 1000 });
    }
  } catch (error) {
    postMessage({ kind: data.kind === "load" ? "unloadable" : "failed", number: data.number, why: why(error) });
  }
};
