// The model, away from the page so that it stays alive: loads the files of this folder, and answers protein by protein.

import * as ort from "./runtime/ort.wasm.min.mjs";
import { decided, pieces, scoresOf, tokensOf } from "./proteins.js";

let model, tokens, graph, head;

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

async function load() {
  model = await (await fetch("page.json")).json();
  tokens = await (await fetch("tokens.json")).json();
  // Threads need a page that is isolated from others, which its server says.
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 4) : 1;
  const here = new URL("./runtime/", self.location.href).href;
  ort.env.wasm.wasmPaths = here;
  ort.env.logLevel = "error";
  const sizes = Object.fromEntries(Object.entries(model.files).map(([name, file]) => [name, file.bytes]));
  const total = Object.values(sizes).reduce((a, b) => a + b, 0), arrived = {};
  const told = (name) => (held) => {
    arrived[name] = Math.min(held, sizes[name]);
    postMessage({ kind: "arrived", bytes: Object.values(arrived).reduce((a, b) => a + b, 0), total });
  };
  const wasm = "runtime/ort-wasm-simd-threaded.wasm";
  ort.env.wasm.wasmBinary = (await fetched(wasm, told(wasm))).buffer;
  const options = { executionProviders: ["wasm"] };
  graph = await ort.InferenceSession.create(await fetched("model.onnx", told("model.onnx")), options);
  if ("head.onnx" in sizes) head = await ort.InferenceSession.create(await fetched("head.onnx", told("head.onnx")), options);
  postMessage({ kind: "ready" });
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
        const found = await answer(protein, (residues) => {
          done += residues;
          postMessage({ kind: "read", number: data.number, residues: done });
        });
        postMessage({ kind: "answer", number: data.number, answer: found });
      }
      postMessage({ kind: "done", number: data.number, seconds: (performance.now() - began) / 1000 });
    }
  } catch (error) {
    postMessage({ kind: data.kind === "load" ? "unloadable" : "failed", number: data.number, why: why(error) });
  }
};
