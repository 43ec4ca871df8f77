"""Structures beside sequences: files of every kind laid onto sequences, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optional_packages import needs_biotite
from task_files import csv, load, write_task
from tiny_checkpoints import write_checkpoint
from tiny_structures import chain_atoms, letters_of, write_structure

from hubtools.api.tasks.task_checks import check_task
from hubtools.api.tasks.task_description import describe_task
from hubtools.common.errors import UserError
from hubtools.data import DataCache, source_digest
from hubtools.data.sources.task_repositories import _data_files
from hubtools.data.structures import chains as reading
from hubtools.data.structures import folder as beside
from hubtools.data.structures import matching
from hubtools.data.structures.chains import read_chains
from hubtools.data.structures.matching import best_match
from hubtools.specs.lookup.content import shipped_root
from hubtools.specs.lookup.spec_files import load_task, read_spec
from hubtools.specs.task import Task

SEQUENCE = "MKTAYIAKQRQISFVKSHFSRQLEERLGGGGLIEVQAPILSRVGDWPNCK"
OTHER = "MVHLTPEEKSAVTALWGKVNVDEVGGEALGRLLVVYPWTQRFFESFGDLS"
THIRD = "GSHMASMTGGQQMGRGSEFELRRQACGRTRAPPPPPLRSGCYWLAAVVDE"
REAL = shipped_root().parent / "shared" / "data" / "structures"


def laid(sequence: str, path: Path, identity: float = 0.9, chain: str | None = None, plddt: float | None = None) -> str:
    return best_match(sequence, read_chains(path, chain), identity, "here").letters(plddt)


@needs_biotite
class TestFiles:
    @pytest.mark.parametrize("name", ["a.pdb", "a.pdb.gz", "a.cif", "a.mmcif.gz", "a.bcif", "a.bcif.gz", "a.ent"])
    def test_a_whole_chain_has_the_letters_that_biotite_gives_it(self, tmp_path: Path, name: str) -> None:
        atoms = chain_atoms(SEQUENCE)
        written = write_structure(tmp_path / name.replace(".ent", ".pdb"), atoms)
        path = written.rename(tmp_path / name)
        assert laid(SEQUENCE, path) == letters_of(atoms)
        assert len(set(letters_of(atoms))) > 5, "letters that were all the same would pass any test"

    def test_residues_that_are_missing_have_none_and_numbers_tell_which_of_equal_ones(self, tmp_path: Path) -> None:
        atoms = chain_atoms(SEQUENCE, left_out=(0, 1, 27, 29, 49))
        letters = laid(SEQUENCE, write_structure(tmp_path / "a.pdb", atoms))
        assert [place for place, letter in enumerate(letters) if letter == "#"] == [0, 1, 27, 29, 49]
        assert letters.replace("#", "") == letters_of(atoms)

    def test_numbers_may_begin_anywhere_fall_and_repeat(self, tmp_path: Path) -> None:
        expected = letters_of(chain_atoms(SEQUENCE))
        for numbers in (
            list(range(-5, len(SEQUENCE) - 5)),
            [900, 901, 902, *range(2, len(SEQUENCE) - 1)],
            [min(place, 20) for place in range(len(SEQUENCE))],
        ):
            insertions = ["" if number < 20 or place == 20 else chr(45 + place) for place, number in enumerate(numbers)]
            repeats = len(set(numbers)) < len(numbers)
            atoms = chain_atoms(SEQUENCE, numbers=numbers, insertions=insertions if repeats else None)
            assert laid(SEQUENCE, write_structure(tmp_path / "a.cif", atoms)) == expected

    def test_a_tag_a_mutation_and_a_piece_of_the_sequence(self, tmp_path: Path) -> None:
        built = "GSHHHHHH" + SEQUENCE[5:20] + "A" + SEQUENCE[21:40]
        assert SEQUENCE[20] != "A"
        atoms = chain_atoms(built)
        letters = laid(SEQUENCE, write_structure(tmp_path / "a.pdb", atoms))
        assert letters == "#" * 5 + letters_of(atoms)[8:] + "#" * 10

    def test_selenomethionine_is_methionine_and_what_is_no_residue_is_left_out(self, tmp_path: Path) -> None:
        atoms = chain_atoms(SEQUENCE, names={0: "MSE"})
        ligand = chain_atoms("G", names={0: "HEM"}, numbers=[900])
        chains = read_chains(write_structure(tmp_path / "a.pdb", atoms, ligand))
        assert [chain.residues for chain in chains] == [SEQUENCE]

    def test_of_alternative_locations_the_most_occupied_is_read(self, tmp_path: Path) -> None:
        plain = write_structure(tmp_path / "a.pdb", chain_atoms(SEQUENCE))
        lines = []
        for line in plain.read_text().splitlines():
            if line.startswith("ATOM") and line[22:26].strip() == "7":
                far = f"{float(line[30:38]) + 30:8.3f}"
                lines.append(line[:16] + "A" + line[17:30] + far + line[38:54] + "  0.30" + line[60:])
                line = line[:16] + "B" + line[17:54] + "  0.70" + line[60:]
            lines.append(line)
        (tmp_path / "b.pdb").write_text("\n".join(lines) + "\n")
        assert laid(SEQUENCE, tmp_path / "b.pdb") == laid(SEQUENCE, plain)

    def test_of_several_chains_the_one_that_fits_or_the_one_that_is_named(self, tmp_path: Path) -> None:
        first, second = chain_atoms(OTHER, chain="A"), chain_atoms(SEQUENCE, chain="B", seed=1)
        copy = chain_atoms(SEQUENCE, chain="C", seed=2)
        path = write_structure(tmp_path / "a.cif", first, second, copy)
        assert laid(SEQUENCE, path) == letters_of(second), "of copies the first"
        assert laid(SEQUENCE, path, chain="C") == letters_of(copy)
        assert letters_of(second) != letters_of(copy)
        with pytest.raises(UserError, match="no protein chain 'Z' is in it"):
            laid(SEQUENCE, path, chain="Z")

    def test_residues_that_a_prediction_is_not_sure_of_have_none(self, tmp_path: Path) -> None:
        sure = [90.0 if place % 5 else 40.0 for place in range(len(SEQUENCE))]
        path = write_structure(tmp_path / "a.pdb", chain_atoms(SEQUENCE, confidence=sure))
        letters = laid(SEQUENCE, path, plddt=70)
        assert [place for place, letter in enumerate(letters) if letter == "#"] == list(range(0, len(SEQUENCE), 5))

    def test_another_proteins_structure_is_refused(self, tmp_path: Path) -> None:
        path = write_structure(tmp_path / "a.pdb", chain_atoms(OTHER))
        with pytest.raises(UserError, match=r"not the protein's: of its chain A .* the same \(needed: 90 %\)"):
            laid(SEQUENCE, path)

    def test_a_few_residues_alike_are_no_match(self, tmp_path: Path) -> None:
        path = write_structure(tmp_path / "a.pdb", chain_atoms(THIRD[:45] + SEQUENCE[:5]))
        with pytest.raises(UserError, match="not the protein's"):
            laid(SEQUENCE, path)

    @pytest.mark.skipif(not REAL.is_dir(), reason=f"no real structures in {REAL}")
    @pytest.mark.parametrize("name", ["1aki", "1dix", "1o1z", "3o5r"])
    def test_real_entries_of_the_pdb(self, name: str) -> None:
        chain = read_chains(REAL / f"{name}.pdb.gz")[0]
        numbers = chain.numbers[: len(chain)]
        gaps = "".join(
            "X" * max(int(after - before) - 1, 0) + letter
            for before, after, letter in zip(np.r_[numbers[0] - 1, numbers[:-1]], numbers, chain.residues, strict=True)
        )
        match = best_match(gaps, [chain], 0.9, name)
        assert match.identity == 1 and match.aligned >= 0.98 * len(chain)
        assert sum(letter != "#" for letter in match.letters()) == match.aligned
        assert set(chain.letters) <= set("acdefghiklmnpqrstvwy") and len(set(chain.letters)) > 10


@needs_biotite
class TestHostileFiles:
    @pytest.mark.parametrize("kind", ["pdb", "cif", "bcif"])
    @pytest.mark.parametrize(
        "content", [b"", b"\0" * 500, b"ATOM  " * 40, b"data_x\n_a.b 1\n", bytes(range(256)), b"\x81\xa1a\x91"]
    )
    def test_what_is_no_structure_is_one_line(self, tmp_path: Path, kind: str, content: bytes) -> None:
        path = tmp_path / f"a.{kind}"
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            read_chains(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)

    def test_zeros_packed_into_little_are_not_unpacked_for_ever(self, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr(reading, "LARGEST_STRUCTURE", 1 << 20)
        path = tmp_path / "a.pdb.gz"
        path.write_bytes(gzip.compress(b" " * (8 << 20)))
        with pytest.raises(UserError, match="more than 1,048,576 bytes"):
            read_chains(path)

    def test_a_file_that_ends_early(self, tmp_path: Path) -> None:
        path = write_structure(tmp_path / "a.pdb.gz", chain_atoms(SEQUENCE))
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(UserError, match="not a complete gzip file"):
            read_chains(path)

    def test_a_column_that_claims_more_values_than_a_structure_has(self, tmp_path: Path) -> None:
        import msgpack

        path = write_structure(tmp_path / "a.bcif", chain_atoms(SEQUENCE))
        values = msgpack.unpackb(path.read_bytes(), raw=False)
        column = values["dataBlocks"][0]["categories"][0]["columns"][0]
        column["data"]["encoding"].insert(0, {"kind": "RunLength", "srcType": 3, "srcSize": 2**31 - 1})
        path.write_bytes(msgpack.packb(values))
        with pytest.raises(UserError, match="more values than a structure has"):
            read_chains(path)

    def test_what_is_too_long_is_not_aligned(self, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr(matching, "MOST_ALIGNED", 1000)
        path = write_structure(tmp_path / "a.pdb", chain_atoms(OTHER))
        with pytest.raises(UserError, match="too long to be aligned"):
            laid(SEQUENCE, path)


def rows(structure: dict[str, str] | None = None) -> str:
    """A table of three proteins, one a split, and what its column of structures holds."""
    found = structure or {}
    proteins = {"train": SEQUENCE, "validation": OTHER, "test": THIRD}
    cells = [(split, protein, "a", split, found.get(split, "")) for split, protein in proteins.items()]
    return csv(cells, "id,sequence,label,set,fold")


LETTERS = {
    "train": "d" * 25 + "v" * 25,
    "validation": "D" * 20 + "#" * 30,
}
COLUMN = {"columns": {"id": "id", "structure": "fold"}}


class TestLettersOfAColumn:
    def test_are_of_the_rows_and_empty_cells_know_nothing(self, tmp_path: Path) -> None:
        data = load(tmp_path, {"r.csv": rows(LETTERS)}, **COLUMN)
        assert data.structures("train") == [LETTERS["train"]]
        assert data.structures("validation") == ["d" * 20 + "#" * 30]
        assert data.structures("test") == ["#" * 50]
        facts = data.facts.structures
        assert facts is not None and facts.source == "3Di letters of the column fold"
        assert (facts.proteins, facts.without, facts.residues, facts.unknown) == (3, 1, 150, 80)
        assert any("70 of 150 residues" in finding for finding in data.facts.findings)

    def test_a_task_without_has_no_such_facts(self, tmp_path: Path) -> None:
        data = load(tmp_path, {"r.csv": rows()}, columns={"id": "id"})
        assert data.facts.structures is None and data.structures("train") is None
        assert "structure" not in data.splits["train"].column_names

    def test_the_digest_of_rows_covers_them(self, tmp_path: Path) -> None:
        first = load(tmp_path, {"r.csv": rows(LETTERS)}, **COLUMN).facts.splits["train"]
        other = load(tmp_path, {"r.csv": rows({**LETTERS, "train": "v" * 50})}, **COLUMN).facts.splits["train"]
        assert first.rows_sha256 != other.rows_sha256

    @pytest.mark.parametrize(
        ("cell", "said"),
        [
            ("dd", "t, train: 2 3Di letters for 50 residues"),
            ("x" + "d" * 49, "t, train: 'x' at position 1 is no 3Di letter"),
            ("d" * 40 + "-" + "d" * 9, "'-' at position 41 is no 3Di letter"),
        ],
    )
    def test_what_is_none_is_refused(self, tmp_path: Path, cell: str, said: str) -> None:
        with pytest.raises(UserError, match=said):
            load(tmp_path, {"r.csv": rows({"train": cell})}, **COLUMN)

    def test_a_missing_column(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"there is no column 'fild' \(data\.columns\.structure\)"):
            load(tmp_path, {"r.csv": rows()}, columns={"id": "id", "structure": "fild"})

    def test_pairs_have_none(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="not for pair-classification"):
            load_task(
                str(
                    write_task(
                        tmp_path,
                        {"r.csv": rows()},
                        problem="pair-classification",
                        columns={"partner": "sequence", "structure": "fold"},
                    )
                )
            )


@needs_biotite
class TestFilesOfATask:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        write_structure(tmp_path / "s" / "train.pdb.gz", chain_atoms(SEQUENCE, left_out=(3, 4)))
        write_structure(tmp_path / "s" / "validation.cif", chain_atoms(OTHER, chain="A"), chain_atoms(OTHER, chain="B"))
        write_structure(tmp_path / "s" / "test.pdb", chain_atoms(THIRD))
        (tmp_path / "s" / "README.txt").write_text("no structure")
        return tmp_path

    def test_are_found_by_id(self, folder: Path) -> None:
        data = load(folder, {"r.csv": rows()}, columns={"id": "id"}, structures={"folder": "s"})
        assert data.structures("train")[0].count("#") == 2
        assert data.structures("test")[0] == letters_of(chain_atoms(THIRD))
        facts = data.facts.structures
        assert facts is not None and (facts.without, facts.unknown) == (0, 2)
        assert facts.source.startswith("3Di by biotite ") and facts.source.endswith(" of the files in s")
        assert data.facts.files[-1].name == "structures" and data.facts.files[-1].sha256

    def test_or_by_a_column_with_a_chain(self, folder: Path) -> None:
        cells = [("x", SEQUENCE, "a", "train", "train.pdb.gz", "A"), ("y", OTHER, "a", "validation", "validation", "B")]
        table = csv([*cells, ("z", THIRD, "a", "test", "", "")], "id,sequence,label,set,file,chain")
        data = load(
            folder,
            {"r.csv": table},
            columns={"id": "id", "structure": "file"},
            structures={"folder": "s", "chain": "chain"},
        )
        assert data.structures("test") == ["#" * 50], "an empty cell: there is none"
        assert data.structures("validation") == [letters_of(chain_atoms(OTHER, chain="B"))]

    def test_what_is_said_of_the_task(self, folder: Path) -> None:
        path = write_task(folder, {"r.csv": rows()}, columns={"id": "id"}, structures={"folder": "s"})
        assert describe_task(path).facts["structures"].endswith("s, named by id")
        told: list[str] = []
        saprot = str(write_checkpoint(folder / "saprot", "saprot"))
        check_task(path, saprot, on_proof=told.append)
        assert any("structure read by saprot: 3Di letters of 148 of 150 residues" in line for line in told)

    def test_what_the_data_are_depends_on_their_content(self, folder: Path) -> None:
        task = load_task(str(write_task(folder, {"r.csv": rows()}, columns={"id": "id"}, structures={"folder": "s"})))
        cache = DataCache(folder / "cache")
        before = source_digest(task, cache)
        (folder / "s" / "README.txt").write_text("other words")
        assert source_digest(task, cache) == before
        write_structure(folder / "s" / "test.pdb", chain_atoms(THIRD, seed=5))
        assert source_digest(task, cache) != before

    def test_files_are_read_once_until_one_changes(self, folder: Path, monkeypatch: Any) -> None:
        options: dict[str, Any] = {"columns": {"id": "id"}, "structures": {"folder": "s"}}
        first = load(folder, {"r.csv": rows()}, **options).structures("test")
        read: list[Path] = []
        monkeypatch.setattr(beside, "read_chains", lambda path, chain: read.append(path) or read_chains(path, chain))
        assert load(folder, {"r.csv": rows()}, **options).structures("test") == first and not read
        write_structure(folder / "s" / "test.pdb", chain_atoms(THIRD, seed=5))
        assert load(folder, {"r.csv": rows()}, **options).structures("test") != first and len(read) == 3

    def test_a_task_on_the_hub_brings_the_files_of_its_folder(self, folder: Path) -> None:
        task = read_spec(
            write_task(folder, {"r.csv": rows()}, columns={"id": "id"}, structures={"folder": "s"}), Task, "t"
        )
        listed = {"tasks/t.yaml", "tasks/r.csv", "tasks/s/b.pdb", "tasks/s/a.cif", "s/other.pdb", "tasks/sx/c.pdb"}
        needed = _data_files(task, "tasks/t.yaml", listed, "hub://me/x")
        assert sorted(needed) == ["tasks/r.csv", "tasks/s/a.cif", "tasks/s/b.pdb"]
        with pytest.raises(UserError, match="names s, which the repository lacks"):
            _data_files(task, "tasks/t.yaml", {"tasks/r.csv"}, "hub://me/x")

    @pytest.mark.parametrize("name", ["../r", "trian", "README", "README.txt"])
    def test_a_file_that_is_not_in_the_folder(self, folder: Path, name: str) -> None:
        with pytest.raises(UserError, match=f"t, train: there is no structure {name!r} in "):
            load(folder, {"r.csv": rows({"train": name})}, structures={"folder": "s"}, **COLUMN)

    def test_a_file_of_another_protein_names_protein_and_file(self, folder: Path) -> None:
        with pytest.raises(UserError, match=r"task t, train, test\.pdb: the structure is not the protein's"):
            load(folder, {"r.csv": rows({"train": "test"})}, structures={"folder": "s"}, **COLUMN)

    def test_two_files_of_one_name(self, folder: Path) -> None:
        write_structure(folder / "s" / "test.cif", chain_atoms(THIRD))
        with pytest.raises(UserError, match=r"'test' is test\.cif and test\.pdb"):
            load(folder, {"r.csv": rows()}, columns={"id": "id"}, structures={"folder": "s"})

    def test_no_folder(self, folder: Path) -> None:
        with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
            load(folder, {"r.csv": rows()}, columns={"id": "id"}, structures={"folder": "nowhere"})

    def test_without_biotite_one_line_says_what_is_missing(self, folder: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr(reading.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(UserError, match=r"needs the package biotite.*plm-hubtools\[structure\]"):
            load(folder, {"r.csv": rows()}, columns={"id": "id"}, structures={"folder": "s"})


class TestVariants:
    WILD = "MKTAY"

    def variants(self, folder: Path, cells: list[str], **options: Any) -> Any:
        table = csv(
            [(mutant, 1.0, cell) for mutant, cell in zip(("M1A", "K2R"), cells, strict=True)], "mutant,label,fold"
        )
        return load(
            folder,
            {"v.csv": table, "wt.fasta": f">wt\n{self.WILD}\n"},
            problem="variant-effect",
            columns={"mutant": "mutant", "structure": "fold"},
            entries={"wt.fasta": {"lookup": True}},
            splits={"test": {"files": ["v"]}},
            metrics={"primary": "spearman"},
            **options,
        )

    def test_the_wild_types_structure(self, tmp_path: Path) -> None:
        data = self.variants(tmp_path, ["dvpl#", "dvpl#"])
        assert data.sequences("test") == [self.WILD] and data.structures("test") == ["dvpl#"]
        assert (data.facts.structures.residues, data.facts.structures.unknown) == (5, 1)

    def test_a_wild_type_has_one(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="rows of its wild type have different structures"):
            self.variants(tmp_path, ["dvpl#", "dvpld"])

    def test_its_file_is_named_by_a_column(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"the wild type's file is not named\. Add structure"):
            load(
                tmp_path,
                {"v.csv": csv([("M1A", 1.0)], "mutant,label"), "wt.fasta": ">wt\nMKTAY\n"},
                problem="variant-effect",
                columns={"mutant": "mutant"},
                entries={"wt.fasta": {"lookup": True}},
                splits={"test": {"files": ["v"]}},
                metrics={"primary": "spearman"},
                structures={"folder": "s"},
            )
