"""BibTeX that every reader takes, of papers that are the right ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sample_records import FULL, LOCALISATION, make_record

from hubtools.models.families import Paper, papers
from hubtools.reporting.card import citation
from hubtools.reporting.templates import templates_of


def parsed(bibtex: str) -> dict[str, str]:
    """The fields of one entry, read brace by brace; wrong syntax fails."""
    head = re.match(r"@(\w+)\{([A-Za-z0-9_:.-]+),\s*", bibtex)
    assert head is not None, bibtex
    fields, at = {"type": head[1], "key": head[2]}, head.end()
    while (start := re.compile(r"(\w+)\s*=\s*\{").match(bibtex, at)) is not None:
        depth, at = 1, start.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(bibtex[at], 0)
            at += 1
        assert start[1] not in fields, f"{start[1]} twice"
        fields[start[1]] = bibtex[start.end() : at - 1]
        separator = re.compile(r"\s*,?\s*").match(bibtex, at)
        assert separator is not None
        at = separator.end()
    assert bibtex[at:] == "}", bibtex[at:]
    return fields


@pytest.mark.parametrize("paper", papers(), ids=lambda paper: paper.family)
def test_the_papers_of_families_are_whole_entries(paper: Paper) -> None:
    fields = parsed(paper.bibtex)
    assert {"title", "author", "year"} <= set(fields) and fields["key"] == paper.key
    assert re.fullmatch(r"20[12]\d", fields["year"])
    assert re.fullmatch(r"10\.\d{4,5}/\S+", fields["doi"]) if "doi" in fields else fields["url"].startswith("https://")
    assert len({other.key for other in papers()}) == len(papers())


def test_an_entry_of_ones_own_goes_before_the_familys(tmp_path: Path) -> None:
    (tmp_path / citation.FILE).write_text("@misc{lin2023evolutionary,\n  title = {Mine},\n}\n")
    esm2, esm1b = (make_record(LOCALISATION, FULL, 0.5, checkpoint=f"facebook/{n}_t33") for n in ("esm2", "esm1b"))
    with templates_of(tmp_path):
        for record, title in ((esm2, "Mine"), (esm1b, "Biological structure and function emerge")):
            found = citation.paper_of(record)
            assert found is not None and parsed(found.bibtex)["title"].startswith(title)
    found = citation.paper_of(esm2)
    assert found is not None and parsed(found.bibtex)["title"].startswith("Evolutionary-scale prediction")


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("facebook/esm2_t33_650M_UR50D", "ESM-2"),
        ("Synthyra/ESM2-8M", "ESM-2"),
        ("facebook/esm1b_t33_650M_UR50S", "ESM-1b"),
        ("facebook/esm1v_t33_650M_UR90S_1", "ESM-1v"),
        ("EvolutionaryScale/esmc-300m-2024-12", "ESM C"),
        ("Rostlab/ProstT5", "ProstT5"),
        ("Rostlab/prot_t5_xl_uniref50", "ProtTrans"),
        ("Rostlab/prot_bert_bfd", "ProtTrans"),
        ("ElnaggarLab/ankh-base", "Ankh"),
        ("westlake-repl/SaProt_650M_AF2", "SaProt"),
        ("someone/protein-model", None),
        ("esm2_lab/other", None),
    ],
)
def test_a_family_is_told_by_the_name_on_the_hub(name: str, family: str | None) -> None:
    found = citation.paper_of(make_record(LOCALISATION, FULL, 0.5, checkpoint=name))
    assert (found.family if found else None) == family


def test_a_folder_is_called_what_its_owner_likes() -> None:
    assert citation.paper_of(make_record(LOCALISATION, FULL, 0.5, checkpoint="esm2_t6", local=True)) is None


def test_the_model_is_cited_by_its_owner_and_run() -> None:
    record = make_record(LOCALISATION, FULL, 0.5, checkpoint="facebook/esm2_t6_8M_UR50D", seed=3)
    fields = parsed(citation.of_model(record, "Cells & 50 % of {it} with esm2_t6", "my-lab/cells", None))
    assert fields["author"] == "{my-lab}" and fields["url"] == "https://huggingface.co/my-lab/cells"
    assert fields["title"] == r"{Cells \& 50 \% of it with esm2\_t6}"
    assert fields["year"] == "2026" and record.run_id in fields["note"] and "seed 3" in fields["note"]
    named = parsed(citation.of_model(record, "Cells", "my-lab/cells", "Curie, Marie and Hopper, Grace"))
    assert named["author"] == "Curie, Marie and Hopper, Grace" and named["key"].startswith("curie-localisation-")
    assert "author" not in parsed(citation.of_model(record, "Cells", None, None))


def test_what_measured_it_is_cited_at_its_version() -> None:
    record = make_record(LOCALISATION, FULL, 0.5, checkpoint="a/b")
    assert f"version {record.environment.bench}" in parsed(citation.of_bench(record))["note"]
