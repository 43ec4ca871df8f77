// What people paste, as proteins, tokens and windows; and answers as tables. No page and no network: tested by itself.

const NUCLEOTIDES = new Set("ACGTUN");
const REMEDIES = {
  "*": "Cut the protein at the stop codon, or leave it out.",
};

export class Unreadable extends Error {}

// FASTA, or one bare sequence, perhaps over several lines or with spaces.
export function readProteins(text, most) {
  const found = text.includes(">") ? fasta(text) : bare(text);
  let residues = 0;
  for (const one of found) residues += one.sequence.length;
  if (found.length > most.proteins || residues > most.residues) {
    throw new Unreadable(`That is more than this page takes at once (${count(most.proteins)} proteins, ${count(most.residues)} residues). `
      + "Ask for fewer, or use bench predict on your own machine.");
  }
  return found;
}

function bare(text) {
  const letters = text.replace(/\s+/gu, "");
  if (!letters) throw new Unreadable("There is no sequence yet. Paste one, for example MKTAYIAKQR….");
  return [{ id: "sequence", sequence: canonical(letters, "sequence") }];
}

function fasta(text) {
  const found = [];
  let header = null, body = [];
  const close = () => {
    if (header === null) return;
    const id = header.trim().split(/\s+/u)[0] || `protein_${found.length + 1}`;
    found.push({ id, sequence: canonical(body.join("").replace(/\s+/gu, ""), id) });
  };
  for (const line of text.split(/\r\n|\r|\n/u)) {
    if (line.trimStart().startsWith(">")) {
      close();
      header = line.trimStart().slice(1);
      body = [];
    } else if (header !== null) {
      body.push(line);
    } else if (line.trim() && !line.startsWith(";")) {
      throw new Unreadable(`A FASTA file starts with ">", not with "${line.trim().slice(0, 20)}".`);
    }
  }
  close();
  if (!found.length) throw new Unreadable("There is no protein in it. Begin each with a line such as >my protein.");
  return found;
}

// Upper case, without gaps of an alignment and the stop at the end; everything else that is no letter is refused with its place.
function canonical(text, id) {
  const sequence = text.replace(/[-.]/gu, "").replace(/\*+$/u, "").toUpperCase();
  if (!sequence) throw new Unreadable(`The sequence of ${id} is empty. Remove it, or paste its residues.`);
  const bad = /[^A-Z]/u.exec(sequence);
  if (bad) {
    throw new Unreadable(`The sequence of ${id} holds "${bad[0]}" at position ${bad.index + 1}, which is no residue. `
      + (REMEDIES[bad[0]] || "Only letters stand for residues."));
  }
  return sequence;
}

// At least thirty letters of which nearly all are A, C, G, T, U and N.
export function looksLikeDna(sequence) {
  let held = 0;
  for (const letter of sequence) held += NUCLEOTIDES.has(letter);
  return sequence.length >= 30 && held >= 0.98 * sequence.length;
}

// As Python's round: halves to the even one.
function rounded(value) {
  const below = Math.floor(value), over = value - below;
  return over > 0.5 || (over === 0.5 && below % 2) ? below + 1 : below;
}

// Evenly spaced windows whose cores tile the protein: [start, stop, coreStart, coreStop], ends exclusive.
export function pieces(length, window, overlap) {
  if (length <= window) return [[0, length, 0, length]];
  const number = Math.ceil((length - overlap) / (window - overlap));
  const starts = Array.from({ length: number }, (_, i) => rounded((i * (length - window)) / (number - 1)));
  const edges = [0, ...starts.slice(1).map((right, i) => Math.floor((starts[i] + window + right) / 2)), length];
  return starts.map((start, i) => [start, start + window, edges[i], edges[i + 1]]);
}

// Tokens of one window, special ones around it, and which of them are residues of its core.
export function tokensOf(sequence, piece, table) {
  const [start, stop, first, last] = piece;
  const ids = [...table.before], core = table.before.map(() => 0);
  for (let place = start; place < stop; place++) {
    const token = table.letters[sequence[place]];
    if (token === undefined) {
      throw new Unreadable(`"${sequence[place]}" at residue ${place + 1} is not in the vocabulary of this model. Leave the protein out.`);
    }
    ids.push(token);
    core.push(place >= first && place < last ? 1 : 0);
  }
  return { ids: [...ids, ...table.after], core: [...core, ...table.after.map(() => 0)] };
}

// Probabilities of one row of logits, or values as they are.
export function scoresOf(logits, kind) {
  if (kind === "regression") return Array.from(logits);
  if (kind === "multilabel") return Array.from(logits, (x) => 1 / (1 + Math.exp(-x)));
  const top = Math.max(...logits), parts = Array.from(logits, (x) => Math.exp(x - top));
  const sum = parts.reduce((a, b) => a + b, 0);
  return parts.map((part) => part / sum);
}

// Labels of one row, by the thresholds that were chosen on validation.
export function decided(scores, model) {
  if (model.kind === "regression") return [];
  if (model.kind === "multilabel") return model.labels.filter((_, i) => Math.fround(scores[i]) >= model.thresholds[i]);
  if (model.positive !== null && model.thresholds) {
    const place = model.labels.indexOf(model.positive);
    return [model.labels[Math.fround(scores[place]) >= model.thresholds[0] ? place : 1 - place]];
  }
  return [model.labels[scores.indexOf(Math.max(...scores))]];
}

export function count(n) {
  return n.toLocaleString("en-US");
}

// A cell that a spreadsheet would compute stands behind an apostrophe.
function cell(value) {
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  const text = String(value).replace(/[\u0000-\u001f\u007f]/gu, " ");
  const plain = /^[=+\-@]/u.test(text) && !/^[+-]?[0-9.]+(?:e[+-]?[0-9]+)?$/iu.test(text) && text.length > 1 ? `'${text}` : text;
  return /["\t\n]/u.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

// The columns of bench predict.
export function table(answers, model) {
  const about = model.level === "residue" ? ["id", "position", "residue"] : ["id", "length"];
  const said = model.kind === "regression" ? ["value"]
    : ["predicted", ...(model.kind === "classification" ? ["probability"] : []), ...model.labels.map((name) => `p_${name}`)];
  const lines = [[...about, ...said]];
  for (const answer of answers) {
    for (const row of answer.rows) {
      const line = row.position === null ? [answer.id, answer.sequence.length]
        : [answer.id, row.position, answer.sequence[row.position - 1]];
      if (model.kind !== "regression") line.push(row.labels.join(";"));
      if (model.kind === "classification") line.push(row.scores[model.labels.indexOf(row.labels[0])]);
      lines.push([...line, ...row.scores]);
    }
  }
  return lines.map((line) => line.map(cell).join("\t")).join("\n") + "\n";
}

// Neighbouring rows that all have a label: [first, last] positions and the rows.
export function stretches(rows, label) {
  const found = [];
  for (const row of rows) {
    if (!row.labels.includes(label)) continue;
    const last = found.at(-1);
    if (last && last.at(-1).position + 1 === row.position) last.push(row);
    else found.push([row]);
  }
  return found;
}

// Stretches of residues with the same label; of a task that detects one class, that class alone.
export function gff3(answers, model) {
  const lines = ["##gff-version 3", `# model: ${model.model.replace(/\s+/gu, " ")}`, `# run: ${model.run}`];
  const safe = (text) => encodeURIComponent(text).replace(/%(3A|5E|2A|24|40|21|2B|3F|7C)/giu, decodeURIComponent);
  for (const answer of answers) {
    const name = safe(answer.id);
    lines.push(`##sequence-region ${name} 1 ${answer.sequence.length}`);
    model.labels.forEach((label, number) => {
      if (model.positive !== null && label !== model.positive) return;
      for (const held of stretches(answer.rows, label)) {
        const score = held.reduce((sum, row) => sum + row.scores[number], 0) / held.length;
        const attributes = `ID=${name}.${number + 1}.${held[0].position};Name=${encodeURIComponent(label).replace(/%(20|28|29|2F)/gu, decodeURIComponent)};Note=predicted by bench`;
        lines.push([name, "bench", "polypeptide_region", held[0].position, held.at(-1).position, Number(score.toPrecision(4)), ".", ".", attributes].join("\t"));
      }
    });
  }
  return lines.join("\n") + "\n";
}
