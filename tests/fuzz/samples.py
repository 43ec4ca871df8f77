"""Valid inputs of each kind, small: what is shipped, what bench writes, and a few by hand."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml
from frozen_runs import invented
from sample_records import FULL, LOCALISATION, PEPTIDES, PROBE, STRUCTURE, make_record
from tiny_tasks import PROBLEMS, tiny_task

from hubtools.evaluation.predictions import Assays, Predictions
from hubtools.runs.store import parse_record
from hubtools.specs.problem import Problem
from hubtools.specs.record import RunRecord

ROOT = Path(__file__).parents[2]
ESM = "facebook/esm2_t6_8M_UR50D"

FASTA = [
    ">a first\nMKTAYIAKQR\nQISFVKSHFS\n>sp|P12345|X_HUMAN OS=Homo sapiens OX=9606 SV=1\nMVLSPADKTNVKAAWGKVGA\n",
    "; a comment\n\n>a\nMKV\n>b\nMKVL*\n",
    ">a\nMKTAYIAKQRQISFVKSHFS\n>b\nMVLSPADKTN\n",
]
THREE_LINES = [
    ">a\nMKTAYIAKQRQISFVKSHFSMKTAYIAKQRQ\nIIIIIIIIIIOOOOOOOOOOMMMMMMMMMMM\n"
    ">b|ARCHAEA|LIPO|0\nMVLSPADKTNVKAAWGKVGAMKTAYIAKQRQISF\nSSSSSSSSSSSSSSSOOOOOOOOOOOOOOOOOOO\n"
]
CSV = [
    'id,sequence,label,set\na,MKTAYIAKQRQISFV,0,train\nb,"MVLSPADKTN",1,test\nc,MKVLAAGI,1,validation\n',
    'id,sequence,label,set\na,MKV,"[0, 1, 0]",train\nb,MKVL,"0,1,1,0",test\n',
    'id,sequence,partner,label\na,MKV,MVL,"x;y"\nb,MKVL,MK,"""q"", y"\n',
]
TSV = [text.replace(",", "\t") for text in CSV]
JSONL = [
    '{"id": "a", "sequence": "MKV", "label": [0, 1, null], "set": "train"}\n\n{"id": "b", "sequence": "MK", "label": 1.5}\n'
]
SWISSPROT = [
    """ID   ZAP70_HUMAN             Reviewed;          24 AA.
AC   P43403; A6NFP4;
DE   RecName: Full=Tyrosine-protein kinase;
OX   NCBI_TaxID=9606;
CC   -!- FUNCTION: Tyrosine kinase.
CC   -!- SUBCELLULAR LOCATION: Cytoplasm {ECO:0000269|PubMed:1}. Cell
CC       membrane; Peripheral membrane protein.
CC   -----------------------------------------------------------------------
FT   DOMAIN          10..20
FT                   /note="SH2 1"
FT                   /evidence="ECO:0000255|PROSITE-ProRule:PRU00191"
FT   MOD_RES         12
FT                   /note="Phosphotyrosine; by ""autocatalysis\"""
FT                   /evidence="ECO:0000269"
FT   SIGNAL          <1..?9
SQ   SEQUENCE   24 AA;  69872 MW;  BF5F CRC64;
     MPDPAAHLPF FYGSISRAEA EEHL
//
""",
    """ID   A_HUMAN                 STANDARD;      PRT;    12 AA.
AC   P1;
FT   MOD_RES       5      5       Phosphoserine (By similarity).
FT   METAL         7      9       Zinc
FT                                (Potential).
SQ   SEQUENCE   12 AA;
     MKTAYIAKQR QI
//
""",
]
FEATURES = [
    'MOD_RES 114; /note="Phosphoserine"; /evidence="ECO:0000269|PubMed:1"; MOD_RES 120; /note="a ""b"""',
    "MOD_RES <1..?30; MOD_RES P12345-2:5; MOD_RES ?..?",
]
PAGE = "Entry\tSequence\nP1\tMKV\nP2\tMK\n"
CARDS = [
    "---\nlicense: mit\ntags: [protein]\nmodel-index:\n- name: m\n  results:\n  - task: {type: text-classification}\n"
    "    dataset: {type: a/b, name: B}\n    metrics: [{type: mcc, value: 0.5, name: MCC}]\n---\n"
    '# A model\n\n<!-- bench:edit uses -->\nMine.\n<!-- /bench:edit -->\n\n## Use\n\n```python\nMODEL = "a"\n```\n',
    "---\r\nlicense: [apache-2.0]\r\nextra_gated_prompt: yes\r\nco2_eq_emissions: {emissions: 1.5}\r\n---\r\n# B\r\n",
    "# No matter\n<!-- /bench:edit -->\n",
    "---\nlicense: other\nlicense_name: mine\nlicense_link: LICENSE\nwidget: [{text: M}]\n---\ntext\n",
]
CONFIG: dict[str, Any] = {
    "model_type": "esm",
    "architectures": ["EsmForMaskedLM"],
    "vocab_size": 33,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 1026,
    "position_embedding_type": "rotary",
    "pad_token_id": 1,
    "mask_token_id": 32,
    "torch_dtype": "float32",
    "auto_map": {"AutoModel": "modeling_x.X"},
    "rope_parameters": {"rope_theta": 1e4},
}
INDEX: dict[str, Any] = {
    "metadata": {"total_size": 8},
    "weight_map": {"a.weight": "model-00001-of-00002.safetensors", "b.weight": "model-00002-of-00002.safetensors"},
}
LABEL_CELLS = [
    *(
        "[0, 1, null]",
        "['H' 'E']",
        "[0. 1. nan]",
        "{'a', 'b'}",
        "(1, 2)",
        "HHEEC",
        "a;b",
        "1.5,2",
        "[np.float64(1.5), 2]",
    ),
    *("array([0, 1], dtype=object)", "[[0, 1], [1, 0]]", '["a \\"b", "c"]', "0 1 1", "-100"),
]
MUTANTS = ["A2G", "M1V:K2R", "WT", "k2r,", "A-1G", "M1*", "M1del"]


@cache
def spec_texts(kind: str) -> list[str]:
    """Shipped files of a kind, the smaller ones."""
    folder = {
        "task": "tasks",
        "recipe": "benchmarks/recipes",
        "suite": "benchmarks",
        "published": "benchmarks/published",
        "profile": "benchmarks/profiles",
    }
    texts = [path.read_text() for path in sorted((ROOT / folder[kind]).glob("*.yaml"))]
    if kind == "published":
        # Two experiments of each say what all of them do.
        texts = [yaml.safe_dump(_few(yaml.safe_load(text), "experiments", 2), sort_keys=False) for text in texts]
    return sorted(texts, key=len)[:12]


def _few(values: dict[str, Any], key: str, count: int) -> dict[str, Any]:
    return values | {key: dict(list(values[key].items())[:count])}


@cache
def baseline_texts() -> list[str]:
    """The golden baseline, two arms of it."""
    values = yaml.safe_load((ROOT / "benchmarks/baselines/golden/baseline.yaml").read_text())
    return [yaml.safe_dump(values | {"arms": values["arms"][:2]}, sort_keys=False)]


@cache
def records() -> list[RunRecord]:
    """Of a probe, a baseline's seed, a failed run and a local checkpoint."""
    return [
        make_record(PEPTIDES, PROBE, 0.7, checkpoint=ESM),
        make_record(STRUCTURE, FULL, 0.8, checkpoint="/home/x/esm", local=True, seed=2, overrides={"epochs": 3}),
        make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM, status="failed", fraction=0.5),
    ]


@cache
def record_values() -> list[Any]:
    """The same as JSON has them."""
    return [json.loads(record.model_dump_json()) for record in records()]


def whole_record(values: Any) -> RunRecord:
    """A record of values."""
    return parse_record(json.dumps(values), "run.json")


@cache
def predictions(problem: str) -> dict[str, Predictions]:
    """Two splits of a problem."""
    if problem == "variant-effect":
        n = 6
        assays = Assays(*(np.array([word] * n) for word in ("g", "p", "c")), np.array([0, 1] * 3))
        one = Predictions(
            Problem(problem),
            np.array([f"v{i}" for i in range(n)]),
            None,
            None,
            np.arange(n) / 3,
            np.arange(n) / 2,
            assays,
        )
        return {"test": one}
    task = {"residue-classification": STRUCTURE, "sequence-classification": PEPTIDES}[problem]
    return {"validation": invented(task, 2, 1.0, 6), "test": invented(task, 1, 1.0, 9)}


def written(write: Any, name: str = "file") -> bytes:
    """The content of a file that a function writes to a path."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        made = write(path)
        return (made if isinstance(made, Path) else path).read_bytes()


@cache
def task_rows(problem: str) -> str:
    """The CSV of a tiny task."""
    import csv
    import io

    from tiny_project import tiny_rows

    rows = tiny_rows(problem, 6)
    held = io.StringIO()
    writer = csv.DictWriter(held, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return held.getvalue()


def task_json_lines(problem: str) -> str:
    """The same as one JSON list."""
    import csv

    return json.dumps(list(csv.DictReader(task_rows(problem).splitlines())))


__all__ = ["PROBLEMS", "tiny_task"]


def structures() -> dict[str, bytes]:
    """Of a few residues, by ending; without biotite, which writes them, a line of each of two formats."""
    if importlib.util.find_spec("biotite") is None:
        atom = b"ATOM      1  CA  ALA A   1      11.104   6.134  -6.504  1.00 50.00           C\n"
        return {".pdb": atom, ".cif": b"data_x\nloop_\n_atom_site.id\n1\n"}
    from tiny_structures import chain_atoms, write_structure

    endings = (".pdb", ".cif", ".bcif", ".pdb.gz")
    with TemporaryDirectory() as folder:
        paths = {ending: write_structure(Path(folder) / f"x{ending}", chain_atoms("MKTAYG")) for ending in endings}
        return {ending: path.read_bytes() for ending, path in paths.items()}
