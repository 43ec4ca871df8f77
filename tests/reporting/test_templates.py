"""Templates: those of bench, or of a folder that the user names; never what happens to lie about, and never Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from check_cases import write_arm
from click.testing import CliRunner
from sample_records import PEPTIDES, write_full_run

from hubtools.cli.main import cli
from hubtools.common.errors import UserError
from hubtools.reporting.templates import asset, render, templates_of

NAMES = ("model_card.md.j2", "check.md.j2", "site/index.html.j2", "audit.html.j2")
# Each wrote a file, or ran a shell, in an open environment.
ATTACKS = [
    "{{ cycler.__init__.__globals__.os.system('touch PWNED') }}",
    "{{ lipsum.__globals__['os'].popen('touch PWNED').read() }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% for c in [].__class__.__base__.__subclasses__() %}{{ c }}{% endfor %}",
    "{{ '{0.__class__}'.format(folder) }}",
    "{{ '%s' | format(self.__init__.__globals__) }}",
    "{{ folder.joinpath('PWNED').write_text('x') }}",
    "{{ (folder / 'PWNED').touch() }}",
    "{{ rows.append('x') }}",
    "{{ render.__globals__ }}",
]


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, (SystemExit, UserError)), result.exception
    return result.exit_code, result.output + str(result.exception or "")


def lay(folder: Path, text: str) -> Path:
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with runs and, as a stranger would propose it, templates of its own."""
    write_full_run(tmp_path / "runs", PEPTIDES)
    write_arm(tmp_path / "arms", seeds=1)
    lay(tmp_path / "reports", "OWN TEMPLATE {{ cycler.__init__.__globals__.os.system('touch PWNED') }}")
    (tmp_path / "reports" / "site" / "site.js").write_text("OWN SCRIPT")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_of_the_current_folder_are_not_used(project: Path) -> None:
    (run,) = (project / "runs").iterdir()
    for command, page in (
        (["board", "runs", "--html", "page.html"], "page.html"),
        (["board", "runs", "--site", "site"], "site/index.html"),
        (["card", run], run / "card" / "README.md"),
        (["check", "--baseline", "arms", "--candidate", "arms", "--summary", "sum.md"], "sum.md"),
    ):
        code, said = call(*command)
        text = (project / page).read_text()
        assert (code, "OWN" in text, len(text) > 500) == (0, False, True), said
    assert not (project / "PWNED").exists()


def test_a_folder_is_used_when_the_user_names_it(project: Path) -> None:
    own = lay(project / "mine", "OWN TEMPLATE")
    (run,) = (project / "runs").iterdir()
    for command, page in (
        (["board", "runs", "--html", "page.html"], "page.html"),
        (["card", run], run / "card" / "README.md"),
        (["check", "--baseline", "arms", "--candidate", "arms", "--summary", "sum.md"], "sum.md"),
    ):
        assert call(*command, "--templates", own)[0] == 0
        assert "OWN TEMPLATE" in (project / page).read_text()
    # For that one command.
    assert call("board", "runs", "--html", "page.html")[0] == 0
    assert "OWN" not in (project / "page.html").read_text()
    assert "there is no such folder" in call("board", "runs", "--html", "p.html", "--templates", "absent")[1]


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_template_reaches_python_or_the_disk(project: Path, attack: str) -> None:
    own = lay(project / "mine", attack)
    with templates_of(own), pytest.raises(UserError, match=r"may not do this|has no attribute|is undefined"):
        render("check.md.j2", folder=project, rows=[1], render=render)
    assert not (project / "PWNED").exists()


def test_a_template_that_asks_for_too_much_says_what(project: Path) -> None:
    """Templates are strict: a name that does not exist is an error, never an empty place."""
    with templates_of(lay(project / "mine", "# {{ carbon_footprint }}")), pytest.raises(UserError, match="carbon_foot"):
        render("model_card.md.j2")
    with templates_of(lay(project / "mine", "{% if %}")), pytest.raises(UserError, match="not a valid template"):
        render("model_card.md.j2")


def test_assets_follow_the_same_rule(project: Path) -> None:
    assert "OWN" not in asset("site/site.js")
    with templates_of(project / "reports"):
        assert asset("site/site.js") == "OWN SCRIPT"
        # What the folder lacks is that of bench.
        assert len(asset("site/site.css")) > 500
