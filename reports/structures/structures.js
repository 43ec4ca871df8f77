// The page of structures: a list, one structure drawn by 3Dmol.js, its aligned error, its residues as letters.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const made = (name, text, options = {}) => Object.assign(document.createElement(name), { textContent: text ?? "", ...options });
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // Residues that are written as letters; more are seen in the structure alone.
  const LETTERS = 5000;
  let viewer = null, shown = null, painting = null, turning = !still, error = null;

  // --- What is packed
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const unpacked = (text) => new Response(new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("gzip")));

  // --- Colours
  const mixed = (share) => {
    const stops = data.scale, place = Math.min(Math.max(share, 0), 1) * (stops.length - 1), low = Math.min(Math.floor(place), stops.length - 2);
    const parts = (colour) => [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
    const [from, to] = [parts(stops[low]), parts(stops[low + 1])];
    return "#" + from.map((value, i) => Math.round(value + (to[i] - value) * (place - low)).toString(16).padStart(2, "0")).join("");
  };
  const colour = (value) => {
    if (value === null || value === undefined) return data.nothing;
    if (painting.kind === "labels") return painting.colours[value];
    if (painting.kind === "bands") return painting.colours[painting.bands.findIndex((low) => value >= low)] ?? data.nothing;
    return mixed((value - painting.low) / (painting.high - painting.low || 1));
  };
  // Dark letters on a light colour, light ones on a dark.
  const isDark = (text) => [1, 3, 5].reduce((sum, start, i) => sum + parseInt(text.slice(start, start + 2), 16) * [0.299, 0.587, 0.114][i], 0) < 110;
  const word = (value) => {
    if (value === null || value === undefined) return painting.key === "predicted" ? "nothing predicted" : "";
    if (painting.kind === "labels") return painting.names[value];
    return painting.key === "place" ? "" : `${painting.key === "confidence" ? "pLDDT " : ""}${value}`;
  };

  // --- One structure
  const values = (chain) => chain.values[painting.key] ?? [];
  const tip = (chain, place) =>
    [`${chain.residues[place]}${chain.numbers[place]}${shown.chains.length > 1 ? `, chain ${chain.name}` : ""}`, word(values(chain)[place])].filter(Boolean).join(": ");
  let chains = new Map();
  const place = (atom) => {
    const chain = atom.hetflag ? undefined : chains.get((atom.chain ?? "").trim());
    return chain && [chain, atom.resi - 1];
  };

  const paint = () => {
    viewer?.setStyle({ hetflag: true }, { stick: { radius: 0.18 }, sphere: { scale: 0.22 } });
    viewer?.setStyle({ predicate: (atom) => place(atom) !== undefined }, {
      // A ribbon lies along the oxygens; of a file without them the α carbons are joined.
      cartoon: { style: viewer.selectedAtoms({ atom: "O" }).length ? "rectangle" : "trace", arrows: true, colorfunc: (atom) => { const [chain, index] = place(atom); return colour(values(chain)[index]); } },
    });
    viewer?.render();
    const legend = painting.kind === "values"
      ? [made("li")]
      : painting.names.map((name, i) => { const item = made("li"); const mark = made("i"); mark.style.background = painting.colours[i]; item.append(mark, name); return item; });
    if (painting.kind === "values") {
      const ramp = made("span", "", { className: "ramp" });
      ramp.style.background = `linear-gradient(to right, ${data.scale.join(", ")})`;
      legend[0].append(painting.ends?.[0] ?? "first residue", ramp, painting.ends?.[1] ?? "last residue");
    }
    if (painting.key === "predicted" && shown.chains.some((chain) => chain.residues.length > values(chain).filter((value) => value !== null).length)) { const item = made("li"); const mark = made("i"); mark.style.background = data.nothing; item.append(mark, "nothing predicted"); legend.push(item); }
    at("legend").replaceChildren(...legend);
    letters();
  };

  const letters = () => {
    const box = at("sequence"), all = shown.chains.reduce((sum, chain) => sum + chain.residues.length, 0);
    const parts = [];
    let left = LETTERS;
    for (const chain of shown.chains) {
      if (shown.chains.length > 1 && left > 0) parts.push(made("h3", `Chain ${chain.name}`));
      for (let start = 0; start < chain.residues.length && left > 0; start += 10) {
        const block = made("span", "", { className: "b-block" });
        block.append(made("small", chain.numbers[start]));
        for (let i = start; i < Math.min(start + 10, chain.residues.length); i++, left--) {
          const cell = made("span", "", { className: "b-r", title: tip(chain, i) });
          const tone = colour(values(chain)[i]);
          cell.style.background = tone;
          cell.classList.toggle("dark", isDark(tone));
          cell.append(made("b", chain.residues[i]));
          cell.dataset.chain = shown.chains.indexOf(chain);
          cell.dataset.place = i;
          block.append(cell);
        }
        parts.push(block);
      }
    }
    if (all > LETTERS) parts.push(made("p", `The first ${LETTERS.toLocaleString("en")} of ${all.toLocaleString("en")} residues.`, { className: "b-small" }));
    box.replaceChildren(...parts);
  };

  const mark = (found) => {
    document.querySelectorAll(".b-r.at").forEach((cell) => cell.classList.remove("at"));
    viewer?.removeAllShapes();
    for (const [chain, index] of found) {
      document.querySelector(`.b-r[data-chain="${shown.chains.indexOf(chain)}"][data-place="${index}"]`)?.classList.add("at");
      const atom = viewer?.selectedAtoms({ predicate: (one) => one.atom === "CA" && place(one)?.[0] === chain && place(one)[1] === index })[0];
      if (atom) viewer.addSphere({ center: { x: atom.x, y: atom.y, z: atom.z }, radius: 1.6, color: colour(values(chain)[index]), opacity: 0.85 });
    }
    viewer?.render();
    if (found.length) at("said").textContent = found.map(([chain, index]) => tip(chain, index)).join(" and ");
  };

  const whole = () => {
    viewer?.zoomTo();
    // It fits the height, and a phone is narrow.
    viewer?.zoom(Math.min(1, at("canvas").clientWidth / at("canvas").clientHeight));
  };

  const show = async (structure) => {
    shown = structure;
    at("name").textContent = structure.name;
    at("facts").textContent = Object.entries(structure.facts).map(([what, value]) => `${what} ${value}`).join(" · ");
    document.querySelectorAll("#list tbody tr").forEach((row, i) =>
      data.structures[i] === structure ? row.setAttribute("aria-current", "true") : row.removeAttribute("aria-current"));
    chains = new Map(structure.chains.map((chain) => [chain.name.trim(), chain]));
    const can = data.paintings.filter((one) => structure.chains.some((chain) => chain.values[one.key]));
    const wanted = can.find((one) => one.key === painting?.key) ?? can[0];
    at("colour").replaceChildren(...can.map((one) => made("option", one.title, { value: one.key, selected: one === wanted })));
    painting = wanted;
    const text = await unpacked(structure.text).text();
    if (shown !== structure) return;
    if (viewer) {
      viewer.spin(false);
      viewer.removeAllModels();
      viewer.removeAllShapes();
      viewer.addModel(text, structure.kind);
    }
    paint();
    whole();
    viewer?.setHoverable({}, true, (atom) => { const found = place(atom); if (found) mark([found]); }, () => {});
    viewer?.render();
    turn(turning);
    await map(structure);
    document.body.dataset.state = `shown ${structure.name}`;
  };

  // --- Its aligned error: dark green is sure
  const map = async (structure) => {
    at("error").hidden = !structure.pae;
    error = null;
    if (viewer) viewer.resize();
    if (!structure.pae) return;
    const { size, step, cells } = structure.pae;
    const found = new Uint8Array(await unpacked(cells).arrayBuffer());
    if (shown !== structure) return;
    error = { size, step, found };
    const canvas = at("map"), image = new ImageData(size, size);
    const small = made("canvas", "", { width: size, height: size }), side = size * Math.ceil(512 / size);
    canvas.width = canvas.height = side;
    found.forEach((value, i) => { const share = value / 255; image.data.set([24 + 231 * share, 88 + 167 * share, 54 + 201 * share, 255], 4 * i); });
    const drawn = canvas.getContext("2d");
    small.getContext("2d").putImageData(image, 0, 0);
    drawn.imageSmoothingEnabled = false;
    drawn.drawImage(small, 0, 0, side, side);
    drawn.fillStyle = "#d55e00";
    let end = 0;
    for (const chain of structure.chains.slice(0, -1)) {
      end += chain.residues.length / step * side / size;
      drawn.fillRect(end - 1, 0, 2, side);
      drawn.fillRect(0, end - 1, side, 2);
    }
    const mean = found.reduce((sum, value) => sum + value, 0) / found.length / 255 * data.error;
    canvas.setAttribute("aria-label", `Predicted aligned error of ${structure.name}, ${mean.toFixed(1)} Å in the mean`);
    const ramp = made("span", "", { className: "ramp" });
    ramp.style.background = "linear-gradient(to right, rgb(24 88 54), rgb(255 255 255))";
    at("error-ends").replaceChildren("0", ramp, `${Math.round(data.error)} Å and more`, step > 1 ? `; a cell is the mean of ${step} × ${step}` : "");
  };
  const along = (index) => {
    for (const chain of shown.chains) { if (index < chain.residues.length) return [chain, index]; index -= chain.residues.length; }
    return null;
  };
  at("map").addEventListener("pointermove", (event) => {
    if (!error) return;
    const box = at("map").getBoundingClientRect();
    const cell = [event.clientY - box.top, event.clientX - box.left].map((distance) => Math.min(error.size - 1, Math.max(0, Math.floor(distance / box.width * error.size))));
    const [row, column] = cell.map((index) => along(index * error.step));
    if (!row || !column) return;
    mark([row, column]);
    const value = error.found[cell[0] * error.size + cell[1]] / 255 * data.error;
    at("said").textContent = `${tip(...column)}, laid by ${tip(...row)}: ${value.toFixed(1)} Å`;
  });

  // --- What is pressed
  const turn = (on) => {
    turning = on;
    viewer?.spin(on ? "y" : false, 0.5);
    at("turn").setAttribute("aria-pressed", String(on));
    at("turn").textContent = on ? "Stop rotating" : "Rotate";
  };
  at("turn").onclick = () => turn(!turning);
  at("whole").onclick = () => { mark([]); whole(); viewer?.render(); };
  at("colour").onchange = (event) => { painting = data.paintings.find((one) => one.key === event.target.value); paint(); };
  at("sequence").addEventListener("click", (event) => {
    const cell = event.target.closest(".b-r");
    if (!cell) return;
    const chain = shown.chains[cell.dataset.chain], index = Number(cell.dataset.place);
    turn(false);
    mark([[chain, index]]);
    viewer?.zoomTo({ predicate: (atom) => { const found = place(atom); return found?.[0] === chain && Math.abs(found[1] - index) <= 5; } }, still ? 0 : 400);
  });
  at("view").addEventListener("keydown", (event) => {
    const turned = { ArrowLeft: [-10, "y"], ArrowRight: [10, "y"], ArrowUp: [-10, "x"], ArrowDown: [10, "x"] }[event.key];
    const nearer = { "+": 1.2, "=": 1.2, "-": 1 / 1.2 }[event.key];
    if (!viewer || (!turned && !nearer)) return;
    event.preventDefault();
    turn(false);
    if (turned) viewer.rotate(...turned); else viewer.zoom(nearer);
    viewer.render();
  });

  // --- The list
  const list = at("list");
  if (list) {
    const columns = [...new Set(data.structures.flatMap((one) => Object.keys(one.facts)))].filter((name) => name !== "measured by");
    const table = made("table"), head = table.createTHead().insertRow(), body = table.createTBody();
    ["protein", ...columns].forEach((name) => head.append(made("th", name, { scope: "col" })));
    data.structures.forEach((one) => {
      const row = body.insertRow(), name = made("th", "", { scope: "row" }), button = made("button", one.name, { type: "button" });
      button.onclick = () => show(one);
      name.append(button);
      row.append(name, ...columns.map((column) => made("td", one.facts[column] ?? "")));
    });
    list.append(table);
    list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = data.structures[data.structures.indexOf(shown) + step];
      if (next) { const button = list.querySelectorAll("tbody button")[data.structures.indexOf(next)]; button.focus(); button.scrollIntoView({ block: "nearest" }); show(next); }
    });
  }

  // --- Light or dark as the system has it
  const ground = () => viewer?.setBackgroundColor(dark.matches ? "#10161d" : "#ffffff", 1);
  try {
    viewer = $3Dmol.createViewer(at("canvas"), { backgroundColor: "white", antialias: true });
  } catch (why) { viewer = null; }
  if (!viewer) at("canvas").replaceChildren(made("p", "This browser draws nothing in three dimensions (WebGL is off). The residues below are coloured all the same.", { className: "b-message" }));
  dark.addEventListener("change", ground);
  ground();
  addEventListener("resize", () => viewer?.resize());
  show(data.structures[0]);
})();
