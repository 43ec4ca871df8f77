"""Relatives by identity: hand-made pairs, a plain count, MMseqs2 where it is installed, and one that fails."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from hubtools.common.errors import UserError
from hubtools.data.splits import identity as identity_module
from hubtools.data.splits.identity import best_identities, can_tell, engine, identity_clusters

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
needs_mmseqs = pytest.mark.skipif(shutil.which("mmseqs") is None, reason="MMseqs2 is not installed")


@pytest.fixture
def without_mmseqs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def random_proteins(n: int, length: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(LETTERS, length)) for _ in range(n)]


def mutated(protein: str, share: float, seed: int) -> str:
    """A copy with exactly that share of its residues replaced by others."""
    rng = np.random.default_rng(seed)
    letters = list(protein)
    for place in rng.choice(len(letters), round(share * len(letters)), replace=False):
        letters[place] = rng.choice([letter for letter in LETTERS if letter != letters[place]])
    return "".join(letters)


def test_the_identity_of_mutated_copies_is_the_share_that_was_kept(without_mmseqs: None) -> None:
    parents = random_proteins(30, 200, seed=1)
    for kept in (1.0, 0.95, 0.8, 0.6):
        copies = [mutated(parent, 1 - kept, seed) for seed, parent in enumerate(parents)]
        best = best_identities(copies, parents, 0.5)
        assert best is not None
        # A local alignment may leave out mutated ends, and may open a gap: near the share, not exactly it.
        assert np.abs(best - kept).max() < 0.05


def test_strangers_have_no_relatives(without_mmseqs: None) -> None:
    best = best_identities(random_proteins(40, 150, seed=2), random_proteins(40, 150, seed=3), 0.5)
    assert best is not None and not best.any()


def test_a_fragment_does_not_cover_the_whole(without_mmseqs: None) -> None:
    (protein,) = random_proteins(1, 200, seed=4)
    best = best_identities([protein[:150], protein[:170]], [protein], 0.5)
    assert best is not None and best.tolist() == [0.0, 1.0]


def test_a_deletion_is_a_column_that_differs(without_mmseqs: None) -> None:
    (protein,) = random_proteins(1, 100, seed=5)
    best = best_identities([protein[:50] + protein[52:]], [protein], 0.5)
    assert best is not None and best[0] == pytest.approx(98 / 100)


def test_rare_letters_and_short_sequences_are_no_obstacle(without_mmseqs: None) -> None:
    best = best_identities(["M", "XXXXXXXX", "UOJBZACDEFGHIK"], ["MK", "UOJBZACDEFGHIR"], 0.5)
    assert best is not None and best[:2].tolist() == [0.0, 0.0] and best[2] >= 0.5


def test_low_identities_are_not_known_without_mmseqs(without_mmseqs: None) -> None:
    assert not can_tell(0.3)
    assert best_identities(["MKV"], ["MKV"], 0.3) is None
    with pytest.raises(UserError, match=r"need MMseqs2.*conda install.*raise identity to 0\.5"):
        identity_clusters(["MKV"], 0.3, 0.8)


@pytest.mark.parametrize("program", ["bundled", pytest.param("mmseqs", marks=needs_mmseqs)])
def test_clusters_are_the_families(program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if program == "bundled":
        monkeypatch.setenv("PATH", str(tmp_path))
    parents = random_proteins(6, 120, seed=6)
    family = [number for number in range(6) for _ in range(4)]
    members = [mutated(parents[number], 0.1, seed) for seed, number in enumerate(family)]
    found = identity_clusters([*members, members[0]], 0.7, 0.8)
    expected = [*family, 0]
    assert len(set(found.tolist())) == 6
    assert all((found[i] == found[j]) == (expected[i] == expected[j]) for i in range(25) for j in range(25))


@needs_mmseqs
def test_mmseqs_and_the_bundled_method_agree(tmp_path: Path) -> None:
    parents = random_proteins(20, 200, seed=7)
    copies = [mutated(parent, 0.3, seed) for seed, parent in enumerate(parents)]
    ours = best_identities(copies, parents, 0.5)
    theirs = np.zeros(20)
    for query, target, value in identity_module._by_mmseqs(copies, parents, 0.5, 0.8):
        assert query == target
        theirs[query] = value
    assert ours is not None and np.abs(ours - theirs).max() < 0.03
    assert engine(0.3).startswith("MMseqs2 ")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo no memory >&2; exit 1", "MMseqs2 failed: no memory"),
        ("exit 3", "MMseqs2 failed: exit code 3"),
        ("exit 0", "no table of hits"),
        ('echo nonsense > "$4"', "no table of hits"),
    ],
)
def test_a_program_that_fails_is_one_line_and_leaves_nothing(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "mmseqs"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with pytest.raises(UserError, match=message) as caught:
        identity_clusters(random_proteins(2, 60, seed=8), 0.3, 0.8)
    assert "\n" not in str(caught.value)
    assert not list(scratch.iterdir())
