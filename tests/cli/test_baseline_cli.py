"""``bench baseline``: what is frozen is shown, renewed in the open, and watched."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from frozen_runs import PEPTIDES, PROBE, STRUCTURE, write_seed, write_seeds
from hub_server import Hub

from hubtools.cli.main import main

FOLDER = Path("benchmarks/baselines/main")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Bench:
    """Runs ``bench baseline`` and keeps what it said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capfd = monkeypatch, capfd

    def __call__(self, *arguments: str) -> int:
        self.monkeypatch.setattr("sys.argv", ["bench", "baseline", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        self.out, self.err = self.capfd.readouterr()
        assert "Traceback" not in self.out + self.err
        return int(exited.value.code or 0)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Bench:
    return Bench(monkeypatch, capfd)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_create_show_and_what_is_altered(bench: Bench) -> None:
    write_seeds(Path("runs"))
    assert bench("create", "main") == 0, bench.err
    assert yaml.safe_load((FOLDER / "baseline.yaml").read_text())["question"] == "recipe"
    assert "3 runs of 1 arm" in bench.err and "next: read benchmarks/baselines/main/baseline.yaml" in bench.err
    for name in ("main", str(FOLDER)):
        assert bench("show", name) == 0
        assert "facebook/esm2_t6_8M_UR50D · full" in bench.out and "all checksums hold" in bench.err
    (path,) = FOLDER.glob("*--s2--*/run.json")
    path.write_text(path.read_text().replace('"value": 0.', '"value": 0.9', 1))
    assert bench("show", "main") == 2
    assert f"altered: {path.parent.name}/run.json is not what was frozen" in bench.err
    assert bench.err.splitlines()[-1].startswith("error: benchmarks/baselines/main: 1 file")


def power_of(bench: Bench) -> list[str]:
    return [line for line in bench.err.splitlines() if "power of" in line]


def test_a_gate_that_cannot_see_its_margin_says_so(bench: Bench) -> None:
    write_seeds(Path("runs"))
    assert bench("create", "main") == 0
    (line,) = power_of(bench)
    assert line.startswith("warning: power of") and "with 3 seeds an arm a test on 30 homology clusters" in line
    assert "in another model, with any number of seeds, none below" in line
    assert line.endswith("The margin of 0.01 is smaller than that: checks will often say cannot tell")
    assert bench("create", "weights", "--question", "weights") == 0
    (line,) = power_of(bench)
    assert line.startswith("warning: power of") and "3 seeds an arm, taken as fixed weights, a test" in line
    assert bench("create", "exact", "--tolerance", "0.001") == 0 and not power_of(bench)


def test_a_gate_that_sees_its_margin_says_that(bench: Bench) -> None:
    write_seeds(Path("runs"), task=PEPTIDES.model_copy(update={"margin": 0.9}))
    assert bench("create", "main") == 0
    (line,) = power_of(bench)
    assert line.startswith("power of") and line.endswith("That is enough for the margin of 0.9")


def test_what_is_there_is_not_written_over(bench: Bench) -> None:
    write_seeds(Path("runs"))
    assert bench("create", "main") == 0
    before = content(FOLDER)
    assert bench("create", "main") == 2
    assert bench.err == f"error: {FOLDER}: it is there already. Renew it: bench baseline update main.\n"
    assert content(FOLDER) == before


@pytest.mark.parametrize(
    ("seeds", "options", "question", "warned"),
    [
        (3, [], "recipe", False),
        (2, [], "weights", False),
        (3, ["--question", "weights"], "weights", False),
        (2, ["--question", "recipe"], "recipe", True),
    ],
)
def test_fewer_than_three_seeds_answer_only_weights(
    bench: Bench, seeds: int, options: list[str], question: str, warned: bool
) -> None:
    write_seeds(Path("runs"), seeds)
    assert bench("create", "main", *options) == 0
    assert yaml.safe_load((FOLDER / "baseline.yaml").read_text())["question"] == question
    assert ("has fewer than three seeds" in bench.err) is warned


@pytest.mark.parametrize("seeds", [1, 2])
def test_an_interval_of_one_seed_is_marked(bench: Bench, seeds: int) -> None:
    write_seeds(Path("runs"), seeds)
    assert bench("create", "main") == 0
    assert (" †" in bench.out) is (seeds == 1)


def test_only_what_is_asked_for(bench: Bench) -> None:
    for task in (STRUCTURE, None):
        for recipe in (PROBE, None):
            write_seed(Path("runs"), **({"task": task} if task else {}), **({"recipe": recipe} if recipe else {}))
    chosen = ("--task", "secondary-structure", "--recipe", "probe", "--checkpoint", "facebook/esm2_t6_8M_UR50D")
    assert bench("create", "main", *chosen) == 0
    (arm,) = yaml.safe_load((FOLDER / "baseline.yaml").read_text())["arms"]
    assert (arm["task"], arm["recipe"]) == ("secondary-structure", "probe")
    assert bench("create", "other", "--checkpoint", "lab/none") == 2
    assert bench.err == "error: runs: there is no such run. bench board shows what is there.\n"


def test_a_suite_is_frozen_whole_or_not(bench: Bench) -> None:
    write_seeds(Path("runs"), task=STRUCTURE)
    write_seeds(Path("runs"))
    assert bench("create", "main", "--suite", "core") == 2
    assert "there is no run of the task localisation" in bench.err
    assert bench("create", "main", "--suite", "core", "--task", "secondary-structure") == 0
    assert [arm["task"] for arm in yaml.safe_load((FOLDER / "baseline.yaml").read_text())["arms"]] == [
        "secondary-structure"
    ]


def test_update_shows_old_and_new_and_keeps_what_was_edited(bench: Bench) -> None:
    write_seeds(Path("runs"))
    write_seeds(Path("runs"), recipe=PROBE)
    assert bench("create", "main") == 0
    edited = yaml.safe_load((FOLDER / "baseline.yaml").read_text())
    edited |= {"margins": {"antimicrobial-peptide": 0.05}, "prediction_tolerance": 1e-4}
    edited["tolerances"]["wall_seconds"] = 3.0
    (FOLDER / "baseline.yaml").write_text(yaml.safe_dump(edited, sort_keys=False))
    before = content(FOLDER)
    write_seeds(Path("newer"), skill=0.5, minutes=8)

    assert bench("update", "main", "--runs", "newer", "--dry-run") == 0
    assert "worse" in bench.out and "stays: no newer runs" in bench.out and "4 min 00 s → 8 min 00 s" in bench.out
    assert "nothing was written (--dry-run); 1 of 2 arms would change" in bench.err
    assert content(FOLDER) == before

    assert bench("update", "main", "--runs", "newer") == 0
    after = yaml.safe_load((FOLDER / "baseline.yaml").read_text())
    for key in ("name", "question", "margins", "tolerances", "prediction_tolerance"):
        assert after[key] == edited[key]
    assert after["arms"][0]["scores"] != edited["arms"][0]["scores"]
    assert after["arms"][1] == edited["arms"][1]

    # Again: an empty diff.
    before = content(FOLDER)
    assert bench("update", "main", "--runs", "newer") == 0
    assert "nothing to do" in bench.err and content(FOLDER) == before


def test_only_cost_touches_budgets_alone(bench: Bench) -> None:
    write_seeds(Path("runs"))
    assert bench("create", "main") == 0
    before = content(FOLDER)
    write_seeds(Path("slower"), minutes=9)
    assert bench("update", "main", "--runs", "slower", "--only-cost") == 0
    after = content(FOLDER)
    assert [name for name in after if after[name] != before[name]] == ["baseline.yaml"]
    lines = zip(before["baseline.yaml"].splitlines(), after["baseline.yaml"].splitlines(), strict=True)
    assert [new.strip() for old, new in lines if old != new] == [b"wall_seconds: 540.0"]


@pytest.mark.parametrize("columns", [80, 160])
def test_every_table_fits(bench: Bench, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    from rich.console import Console

    # As on a terminal of that width.
    monkeypatch.setattr("hubtools.cli.baseline.new_console", lambda: Console(highlight=False, width=columns))
    write_seeds(Path("runs"), task=STRUCTURE)
    write_seeds(Path("runs"), checkpoint="facebook/esm2_t33_650M_UR50D")
    assert bench("create", "main") == 0
    write_seeds(Path("newer"), task=STRUCTURE, skill=1.0, minutes=333)
    for command in (("show", "main"), ("update", "main", "--runs", "newer", "--dry-run")):
        assert bench(*command) == 0
        lines = bench.out.splitlines()
        assert max(map(len, lines)) <= columns
        # Numbers are whole, names are folded where they must be.
        assert "secondary-structure" in bench.out and "…" not in bench.out
    assert "4 min 00 s → 5 h 33 min" in bench.out


def test_a_large_one_is_pointed_to_the_hub(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubtools.findings.frozen_baseline.LARGE", 1000)
    write_seeds(Path("runs"))
    assert bench("create", "main") == 0
    assert "warning: large for a repository of code" in bench.err and "hub://USER/REPO/main" in bench.err
    monkeypatch.setattr("hubtools.findings.frozen_baseline.TOO_LARGE", 1000)
    assert bench("create", "second") == 2 and not Path("benchmarks/baselines/second").exists()
    assert bench("create", "second", "--any-size") == 0


def test_show_one_on_the_hub(bench: Bench, hub: Hub) -> None:
    write_seeds(Path("runs"))
    assert bench("create", "main") == 0
    files: dict[str, bytes | str] = {f"main/{name}": data for name, data in content(FOLDER).items()}
    commit = hub.add_dataset("lab/baselines", files | {".gitattributes": ""})
    assert bench("show", "hub://lab/baselines/main") == 0
    assert f"hub://lab/baselines/main is hub://lab/baselines@{commit}/main" in bench.err
    assert "all checksums hold" in bench.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["show", "mian"], "error: benchmarks/baselines: there is no baseline mian. There are: main."),
        (["show", "runs"], "error: runs: there is no baseline.yaml. Make one: bench baseline create NAME."),
        (["update", "nothing"], "error: benchmarks/baselines: there is no baseline nothing. There are: main."),
        (["create", "Main"], "error: 'Main' is not a name for a baseline. Use small letters, digits and hyphens"),
        (["create", "x", "--runs", "nowhere"], "error: there is no folder nowhere."),
        (["create", "x", "--tolerance", "-1"], "error: Invalid value for '--tolerance'"),
        (["update", "main", "--runs", "other"], "error: other: there is no such run."),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(bench: Bench, arguments: list[str], line: str) -> None:
    write_seeds(Path("runs"))
    write_seed(Path("other"), task=STRUCTURE)
    assert bench("create", "main") == 0
    assert bench(*arguments) == 2
    assert bench.err.startswith(line) and len(bench.err.splitlines()) == 1 and bench.out == ""


def test_a_mistake_in_the_file_is_named_with_its_line(bench: Bench) -> None:
    write_seeds(Path("runs"))
    assert bench("create", "main") == 0
    path = FOLDER / "baseline.yaml"
    text = path.read_text()
    for changed, line in (
        (text.replace("question: recipe", "question: recipes"), ":2: question: unknown value 'recipes'"),
        (text + "margin: 3\n", "margin"),
        (
            text.replace("tolerances:", "margins:\n  locolisation: 0.1\ntolerances:"),
            "no run is of the task locolisation",
        ),
    ):
        path.write_text(changed)
        assert bench("show", "main") == 2
        assert line in bench.err and bench.err.startswith(f"error: {path}") and len(bench.err.splitlines()) == 1
