// Asks an export through transformers.js's own pipeline: node transformers_js.mjs NODE_MODULES FOLDER SEQUENCE...
// Prints, for each sequence, a list of [letter, label, probability], or the error.

import path from "node:path";
import { pathToFileURL } from "node:url";

const [modules, folder, ...sequences] = process.argv.slice(2);
const { env, pipeline } = await import(pathToFileURL(path.join(modules, "@huggingface/transformers/dist/transformers.node.mjs")));
env.localModelPath = path.dirname(folder);
env.allowRemoteModels = false;
const ask = await pipeline("token-classification", path.basename(folder), { dtype: "fp32", subfolder: "" });
for (const sequence of sequences) {
  try {
    const found = await ask(sequence, { ignore_labels: [] });
    console.log(JSON.stringify(found.map((one) => [one.word, one.entity, one.score])));
  } catch (error) {
    console.log(JSON.stringify(String(error.message)));
  }
}
