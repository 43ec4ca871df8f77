"""What ``benchmarks/network.py --smoke`` asks: a Hub, UniProt and public files on this machine, with tiny random weights and made-up rows."""

from __future__ import annotations

import csv
import io
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from hubtools.common.files import write_atomic
from hubtools.common.hashing import file_sha256
from hubtools.specs.lookup.content import shipped_root

CHECKPOINTS = {
    "facebook/esm2_t6_8M_UR50D": "esm",
    "Rostlab/prot_bert": "bert",
    "Rostlab/prot_t5_xl_half_uniref50-enc": "t5",
}
PROBED, VARIANTS = "tiny-residue-regression", "tiny-variants"
NOTEBOOK = ("notebook-localisation", "notebook-secondary-structure")
TEMPLATE = "It has never been loaded."


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def files_of(folder: Path) -> Iterator[str]:
    """The address at which the files of a folder are."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def entries(count: int) -> list[dict[str, str]]:
    """Proteins as UniProt gives them, half of them in the cytosol and half in a membrane, each with a helix and a strand."""
    drawn = random.Random(0)
    return [
        {
            "accession": f"P{10000 + number}",
            "sequence": "M" + "".join(drawn.choices("ACDEFGHIKLMNPQRSTVWY", k=drawn.randint(80, 90))),
            "cc_subcellular_location": f"SUBCELLULAR LOCATION: {'Membrane' if number % 2 else 'Cytoplasm'} {{ECO:0000269}}.",
            "ft_helix": 'HELIX 3..12; /evidence="ECO:0007829"; HELIX 30..36',
            "ft_strand": "STRAND 16..20",
        }
        for number in range(count)
    ]


@contextmanager
def loopback(folder: Path) -> Iterator[dict[str, Any]]:
    """Servers, and the environment that names them; what :class:`Catalogue` of the script takes."""
    # Before anything imports what reads them.
    from hub_server import Hub
    from uniprot_server import UniProt

    root, public = folder / "project", folder / "public"
    for needed in (root / "tasks", public):
        needed.mkdir(parents=True, exist_ok=True)
    with Hub(folder / "hub") as hub, UniProt(entries(60), page=25) as uniprot, files_of(public) as address:
        os.environ.update(hub.env | {"BENCH_UNIPROT": uniprot.address, "no_proxy": "127.0.0.1"})
        os.environ.update({"BENCH_ENERGY": "estimate", "OMP_NUM_THREADS": "1"})
        _add_checkpoints(hub, folder / "checkpoints")
        _add_tasks(hub, root, public, address)
        yield {
            "root": root,
            "checkpoints": tuple(CHECKPOINTS),
            "probed": PROBED,
            "cells": _published(root),
            "notebook": {
                "notebook-localisation": {"cytosolic": 30, "membrane": 30},
                "notebook-secondary-structure": {"proteins": 60},
            },
        }


def _add_checkpoints(hub: Any, folder: Path) -> None:
    """As their authors publish them: ProtT5 as a pickle in half precision."""
    import torch
    from tiny_checkpoints import write_checkpoint

    for name, family in CHECKPOINTS.items():
        made = write_checkpoint(folder / family, family, half=family == "t5")
        if family == "t5":
            from safetensors.torch import load_file

            torch.save(load_file(made / "model.safetensors"), made / "pytorch_model.bin")
            (made / "model.safetensors").unlink()
        files = {path.name: path.read_bytes() for path in made.iterdir()}
        hub.add_model(name, files | {"README.md": "---\nlicense: mit\n---\n"})


def _add_tasks(hub: Any, root: Path, public: Path, address: str) -> None:
    """Tasks of each kind of source; two of them are pinned, and counted."""
    import pandas as pd
    from tiny_project import SPLITS, tiny_rows, write_task

    counted = []
    for problem, pinned in (("residue-regression", True), ("sequence-classification", False)):
        path = write_task(root, problem, 24)
        file = public / f"{problem}.csv"
        (root / "tasks" / file.name).rename(file)
        at = {"url": f"{address}/{file.name}"} | ({"sha256": file_sha256(file)} if pinned else {})
        _rewrite(path, {"source": "url", "files": [at]}, not pinned)
    residues: dict[str, list[int]] = {split: [] for split in SPLITS}
    for row in tiny_rows("residue-regression", 24):
        residues[row["set"]].append(len(row["sequence"]))
    counted += [f"{PROBED},{split},{len(lengths)},{sum(lengths)}" for split, lengths in residues.items()]

    path = write_task(root, "sequence-regression", 24)
    rows = pd.DataFrame(tiny_rows("sequence-regression", 24)).astype({"label": float})
    held: dict[str, bytes | str] = {}
    for split, part in rows.groupby("set"):
        buffer = io.BytesIO()
        part.drop(columns="set").to_parquet(buffer, index=False)
        held[f"data/{split}-0.parquet"] = buffer.getvalue()
    hub.add_dataset("lab/values", held)
    source = {"source": "hub", "dataset": "lab/values", "files": [{"split": name} for name in SPLITS]}
    (root / "tasks" / "sequence-regression.csv").unlink()
    _rewrite(path, source | {"splits": {name: {"files": [name]} for name in SPLITS}}, True)

    counted.append(f"{VARIANTS},test,1,{_add_variants(root, public, address)}")
    for name in NOTEBOOK:
        write_atomic(root / "tasks" / f"{name}.yaml", (shipped_root() / "tasks" / f"{name}.yaml").read_bytes())
    write_atomic(root / "tasks" / "counts.csv", "\n".join(["task,split,proteins,labelled", *sorted(counted), ""]))


def _add_variants(root: Path, public: Path, address: str) -> int:
    """Every substitution by alanine of one protein; how many there are."""
    wild, drawn = "MKTFYIAKQRQISFVKSHFSRQLE", random.Random(0)
    with (public / "variants.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["mutant", "score"])
        mutants = [f"{letter}{place}A" for place, letter in enumerate(wild, 1) if letter != "A"]
        writer.writerows([mutant, round(drawn.random(), 3)] for mutant in mutants)
    (public / "wild.fasta").write_text(f">wild\n{wild}\n")
    files = [
        {"name": name, "url": f"{address}/{file}", "sha256": file_sha256(public / file)} | more
        for name, file, more in (("variants", "variants.csv", {}), ("wild", "wild.fasta", {"lookup": True}))
    ]
    task = {
        "name": VARIANTS,
        "version": 1,
        "title": "Substitutions by alanine",
        "problem": "variant-effect",
        "summary": "Made up.",
        "data": {
            "source": "url",
            "files": files,
            "columns": {"mutant": "mutant", "label": "score"},
            "splits": {"test": {"files": ["variants"]}},
        },
        "metrics": {"primary": "spearman"},
        "licence": "CC0-1.0",
        "citation": "none",
    }
    (root / "tasks" / f"{VARIANTS}.yaml").write_text(yaml.safe_dump(task, sort_keys=False))
    return len(mutants)


def _rewrite(path: Path, data: dict[str, Any], template: bool) -> None:
    """Give a task another source."""
    task = yaml.safe_load(path.read_text())
    task["data"].update(data)
    if template:
        task["template"] = TEMPLATE
    path.write_text(yaml.safe_dump(task, sort_keys=False))


def _published(root: Path) -> dict[str, tuple[int, ...]]:
    """Five numbers that random weights cannot contradict: trained by each checkpoint, and without training by two."""
    about = {
        "title": "Made up",
        "where": "nowhere",
        "version": 1,
        "metric": "spearman",
        "tolerance": 1.9,
        "reason": "No correlation is further from 0.",
        "same_test": True,
        "data": "The same file.",
        "differences": ["Nothing was published."],
    }
    results = {family: {"checkpoint": name, "value": 0.0, "printed": "0.0"} for name, family in CHECKPOINTS.items()}
    trained = {"task": PROBED, "recipe": "probe", "settings": {"epochs": 2}, "results": results}
    scored = {"task": VARIANTS, "recipe": "masked-marginals", "seeds": [1]}
    scored["results"] = {family: results[family] for family in ("esm", "bert")}
    paper = {"name": "nobody", "citation": "Nobody (2026).", "numbers": "here"}
    paper["experiments"] = {"trained": about | trained, "scored": about | scored}
    (root / "benchmarks" / "published").mkdir(parents=True, exist_ok=True)
    (root / "benchmarks" / "published" / "nobody.yaml").write_text(yaml.safe_dump(paper, sort_keys=False))
    of_trained = {f"nobody/trained/{family}": () for family in results}
    return of_trained | {f"nobody/scored/{family}": () for family in ("esm", "bert")}
