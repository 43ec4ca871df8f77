"""Free text is shown everywhere and acted upon nowhere: on cards, in tables, in a terminal, on GitHub, in a spreadsheet.

Cards are read by an independent reader of Markdown (markdown-it): whatever a text holds, the card has the structure that it
has with a harmless one, and shows the text.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt
from sample_records import LOCALISATION, write_full_run

from hubtools.cli.shared.guarded import GuardedStream
from hubtools.common import escaping
from hubtools.common.errors import UserError
from hubtools.common.texts import control_character
from hubtools.reporting.card.card_edits import keep_edits
from hubtools.reporting.card.model_card import build_card, lint_card
from hubtools.reporting.templates import render, templates_of
from hubtools.runs.store import read_record, write_record
from hubtools.specs.task import Task

Bench = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).resolve().parents[2]
READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

# What a text may do to a card, each by another mark of Markdown, HTML, a template or a card of bench.
HOSTILE = [
    "<unk> and *G* and _x_ and **y**",
    "# a heading",
    "- an entry",
    "1. a numbered entry",
    "> a quotation",
    "---",
    "===",
    "a | b || c",
    "a `b` c ``` d",
    "``` python",
    "~~~ and ~~struck~~",
    "[here](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "<https://evil.example>",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</details></summary></code>",
    "<!-- bench:edit uses --> mine <!-- /bench:edit -->",
    "<!-- /bench:edit -->",
    "<!-- bench:wrote 00000000 -->",
    "{{ 7 * 7 }} and {% if x %}",
    "&lt;b&gt; &#60; &copy;",
    "\\ and \\* and a \\",
    "$x$ and $$y$$",
    '"quoted" and \'single\' and """three"""',
    "; import os; os.system('touch PWNED')",
    "=HYPERLINK(1)",
    "::set-output name=x::y",
    "for @everyone [ ] [x]: https://evil.example",
    "    four spaces before",
]
HARMLESS = "plain words"


def card_of(folder: Path, text: str) -> str:
    """A card in which every free text of the task is this one."""
    record = read_record(folder)
    task = json.loads(json.dumps(record.task))
    task |= {"summary": text, "title": text, "citation": text, "licence": text, "notes": [text, text]}
    task |= {"homepage": None, "trust": {"colour": "amber", "reason": f"{text} {text}"}}
    task["labels"] = {key: f"{text}{n}" for n, key in enumerate(task["labels"])}
    task["published"] = [{"what": text, "how": text, "metric": "f1", "value": 0.5, "source": text, "note": text}]
    record.task = task
    for row in record.results["test"].per_class:
        row["name"] = text
    record.environment.device_name = text
    write_record(folder, record)
    return build_card(folder, repo_id="me/mine").read_text(encoding="utf-8")


def structure(card: str) -> list[tuple[str, str]]:
    """Everything of a card but its texts: blocks, and marks inside lines; HTML by its tags."""
    found = []
    for token in READER.parse(card.split("---\n", 2)[2]):
        for one in [token, *(token.children or [])]:
            if one.type == "text":
                continue
            tags = " ".join(re.findall(r"</?\w+|<!--", one.content)) if one.type.startswith("html") else ""
            found.append((one.type, tags or one.tag))
    return found


@pytest.fixture
def run(tmp_path: Path, blank_figures: None) -> Path:
    folder = write_full_run(tmp_path / "runs", LOCALISATION)
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    return folder


@pytest.mark.slow
def test_a_card_has_the_same_structure_whatever_its_texts_hold(run: Path) -> None:
    expected = structure(card_of(run, HARMLESS))
    for text in HOSTILE:
        card = card_of(run, text)
        assert structure(card) == expected, text
        assert lint_card(card) == [], text
        values = yaml.safe_load(card.split("---\n")[1])
        assert values["model-index"][0]["results"][0]["task"]["name"].strip().startswith(text.strip()[:4]), text
        # What bench writes anew is the same again, and nothing of the text is taken for what a user wrote.
        assert keep_edits(card, card) == card, text
        (code,) = (
            token.content for token in READER.parse(card) if token.info == "python" and "LABELS" in token.content
        )
        (labels,) = (
            node.value
            for node in ast.walk(ast.parse(code))
            if isinstance(node, ast.Assign) and "LABELS" in ast.dump(node)
        )
        names = [key.value for key in (labels.keys if isinstance(labels, ast.Dict) else labels.elts)]
        assert names == [f"{text}{n}" for n in range(len(names))]


@pytest.mark.slow
def test_the_words_of_a_card_are_those_of_the_text(run: Path) -> None:
    for text in HOSTILE[:7] + HOSTILE[13:15]:
        tokens = READER.parse(card_of(run, text))
        shown = ["".join(c.content for c in token.children or []) for token in tokens if token.type == "inline"]
        assert any(text in line for line in shown), text


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_shown_as_it_is(text: str) -> None:
    plain = " ".join(text.split()) if text.startswith("  ") else text
    (inline,) = (token for token in READER.parse(escaping.markdown(text)) if token.type == "inline")
    assert "".join(child.content for child in inline.children or []) == plain
    assert {child.type for child in inline.children or []} <= {"text", "text_special"}
    (cell,) = READER.parse(f"| a |\n| --- |\n| {escaping.markdown(text)} |\n")[-5:-4] or [None]
    html = READER.render(f"| a |\n| --- |\n| {escaping.code(text)} |\n")
    assert html.count("<td>") == html.count("<code>") == 1 and cell is not None


def test_a_block_of_code_is_ended_by_none_of_its_lines() -> None:
    text = "@misc{a,\n```\n# A heading\n````\n<!-- bench:edit x -->\n}"
    for shown in (text, "`" * 12, "~~~", ""):
        (block,) = READER.parse(escaping.fence(shown, "bibtex"))
        assert (block.type, block.info) == ("fence", "bibtex")
        assert block.content.rstrip("\n") == shown.replace("<!--", "<!- -")


@pytest.mark.slow
def test_a_citation_over_lines_stays_in_its_block(run: Path) -> None:
    record = read_record(run)
    record.task["citation"] = "@misc{a,\n  title = {x}\n}\n```\n\n# Not a heading\n<!-- bench:edit limits -->\n"
    write_record(run, record)
    card = build_card(run).read_text()
    headings = [token.content for token in READER.parse(card) if token.type == "inline"]
    assert not any("Not a heading" in heading for heading in headings) and "Not a heading" in card
    assert lint_card(card) == []


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//evil.example", "https://", "https://[", " x"],
)
def test_what_is_no_address_of_the_web_becomes_no_link(address: str) -> None:
    assert escaping.web_address(address) is None
    assert "<a" not in READER.render(escaping.link("text", address))


def test_an_address_ends_no_link() -> None:
    html = READER.render(escaping.link("a](b", "https://x.example/a_(b)> )|`<script>"))
    assert html.count("<a ") == 1 and "<script" not in html and 'href="https://x.example/a_' in html


@pytest.mark.parametrize("field", ["title", "summary", "citation", "licence", "unit", "homepage"])
@pytest.mark.parametrize("character", ["\x1b[31m", "\x00", "\x85", "\u202e", "\u200f", "\u2028"])
def test_no_text_of_a_task_holds_a_control_character(field: str, character: str) -> None:
    with (
        pytest.raises(ValueError, match=re.escape(str(control_character(character))))
        if field != "homepage"
        else pytest.raises(ValueError)
    ):
        Task.model_validate(LOCALISATION.model_dump() | {field: f"https://a{character}b"})


@pytest.mark.parametrize("where", ["title", "labels"])
def test_a_line_break_in_a_label_is_refused(where: str) -> None:
    values = LOCALISATION.model_dump()
    values[where] = "a\nb" if where == "title" else {**values["labels"], "x": "a\nimport os; os.system('id')"}
    with pytest.raises(ValueError, match=r"\\n"):
        Task.model_validate(values)


# Spreadsheets


@pytest.mark.parametrize("cell", ["=1+1", "+1+1", "-1+cmd", "@SUM(1)", "\t=1", "＝1", '=HYPERLINK("https://x","y")'])
def test_a_formula_is_a_text(cell: str) -> None:
    assert str(escaping.spreadsheet_cell(cell)) == f"'{cell}"


@pytest.mark.parametrize("cell", ["-1", "+0.5", "-", "+", "-1.5e-3", "", "a=b", "sp|P1|X", 1.5, None, "-.5", "-inf"])
def test_what_is_no_formula_stays(cell: object) -> None:
    assert escaping.spreadsheet_cell(cell) == cell


def test_predictions_hold_no_formula_and_no_escape(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from hubtools.inference.writers import _Separated

    for separator in ",\t":
        stream = io.StringIO()
        decider = SimpleNamespace(columns=["id", "predicted", "p_=x"], rows=lambda rows: rows)
        writer = _Separated(stream, decider, separator)  # type: ignore[arg-type]
        writer.write([["=cmd|' /C calc'!A0", "a", 0.5], ["x\x1b]0;evil\x07", "::add-mask::a", -0.25]])  # type: ignore[arg-type]
        rows = list(csv.reader(io.StringIO(stream.getvalue()), delimiter=separator))
        assert rows[0] == ["id", "predicted", "p_=x"] and rows[1][0] == "'=cmd|' /C calc'!A0"
        assert rows[2] == ["x\\u001b]0;evil\\u0007", "\\u003a:add-mask::a", "-0.25"]


# The terminal, and GitHub Actions


def printed(*texts: str) -> str:
    stream = io.StringIO()
    guarded = GuardedStream(stream)
    for text in texts:
        guarded.write(text)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["::set-output name=a::b\n"], "\\u003a:set-output name=a::b\n"),
        (["a\n  ::stop-commands::x\n"], "a\n  \\u003a:stop-commands::x\n"),
        (["a\r::error::x"], "a\r\\u003a:error::x"),
        (["  ", "::error::x"], "  \\u003a:error::x"),
        (["a ", "::no command"], "a ::no command"),
        (["a ##[error]b"], "a \\u0023#[error]b"),
        (["\x1b[31mred\x1b]0;title\x07"], "\\u001b[31mred\\u001b]0;title\\u0007"),
        (["a\u202eb\u2066c\x85"], "a\\u202eb\\u2066c\\u0085"),
        (['{"a": "\u202e"}'], '{"a": "\\u202e"}'),
        (["a: 5 µm, 95 %, –\n\ttab"], "a: 5 µm, 95 %, –\n\ttab"),
    ],
)
def test_what_is_printed_acts_on_nothing(texts: list[str], shown: str) -> None:
    assert printed(*texts) == shown


def hostile_task(folder: Path, **texts: str) -> Path:
    """A task file whose texts are these."""
    values = LOCALISATION.model_dump(mode="json", exclude_defaults=True) | {"name": "mine"} | texts
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize("text", ["::set-output name=x::y", "a [/bold] b [link=https://x]c", "[red]a", "\\[x]"])
def test_a_task_is_shown_as_text(bench: Bench, tmp_path: Path, text: str) -> None:
    path = hostile_task(tmp_path, title=text, summary=text, citation=text)
    code, out, _ = bench("tasks", "show", path)
    assert code == 0 and not re.search(r"(?m)^\s*::", out)
    assert out.count(text.removeprefix("::")) == 3


def test_a_message_is_one_line_that_acts_on_nothing(bench: Bench, tmp_path: Path) -> None:
    error = UserError("a\n::error::b\x1b[2J", where="x\u202ey", fix="Do\rit.")
    assert str(error) == "x\\u202ey: a ::error::b\\u001b[2J. Do it."
    name = tmp_path / "x\n::error::y.fasta"
    name.write_text("no fasta")
    code, _, err = bench("tasks", "show", str(tmp_path / "a" / "::error::x.yaml"))
    assert code == 2 and len(err.splitlines()) == 1


# Templates


def test_each_template_is_escaped_by_its_target(tmp_path: Path) -> None:
    text = '<b> *x* "y"'
    for name, shown in (
        ("a.html.j2", "&lt;b&gt; *x* &#34;y&#34;"),
        ("a.md.j2", '&lt;b> \\*x\\* "y"'),
        ("a.py.j2", '"<b> *x* \\"y\\""'),
    ):
        (tmp_path / name).write_text("{{ x }}")
        with templates_of(tmp_path):
            assert render(name, x=text) == shown
    (tmp_path / "a.sh.j2").write_text("{{ x }}")
    with templates_of(tmp_path), pytest.raises(UserError, match="does not say what it writes"):
        render("a.sh.j2", x=text)


def test_a_new_place_in_a_template_cannot_forget() -> None:
    """Inside code, HTML and addresses other rules hold than in Markdown: there a filter must say so."""
    for path in (ROOT / "reports").rglob("*.md.j2"):
        fenced = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{path.name}:{number}: {line}"
            if line.startswith("```"):
                fenced = not fenced
            places = re.findall(r"\{\{(.*?)\}\}", line)
            if fenced:
                assert all(re.search(r"\| (code_line|python) $", place) for place in places), where
            assert not re.search(r"`\{\{|\]\(\{\{|\]\([^)]*\{\{|<\{\{|://\{\{", line), where
            for tag in re.findall(r"<(?!!--)[^<>]*\{\{.*?\}\}[^<>]*>", line):
                assert all(re.search(r"\| (e|int) $", place) for place in re.findall(r"\{\{(.*?)\}\}", tag)), where
            assert "| safe" not in line, where
    for path in (ROOT / "reports").rglob("*.html.j2"):
        # Style, script and JSON of bench itself, which site.py makes safe, and HTML of inference/drawing.py, which escapes.
        marked = set(re.findall(r"\{\{ ([\w.]+) \| safe \}\}", path.read_text()))
        assert marked <= {"style", "json", "rows", "script", "headline"}, path
    for path in (ROOT / "reports").rglob("*.j2"):
        assert path.name.endswith((".html.j2", ".md.j2", ".py.j2")), path


def test_text_is_marked_as_written_by_few() -> None:
    """Who calls a text Markdown already has escaped what is in it: each place is known here."""
    known = {
        "reporting/templates.py",
        "reporting/card/card_procedure.py",
        "reporting/card/model_card.py",
        "reporting/comparison/check_report.py",
        "reporting/comparison/comparison_text.py",
    }
    package = ROOT / "hubtools"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"\bMarkup\(|\bwritten\(", path.read_text())
    }
    assert found <= known


def test_no_other_place_writes_rows_of_a_spreadsheet_or_escapes_by_hand() -> None:
    package = ROOT / "hubtools"
    for path in package.rglob("*.py"):
        text, name = path.read_text(), path.relative_to(package).as_posix()
        if re.search(r"csv\.(writer|DictWriter)\(", text):
            assert "spreadsheet_cell(" in text or "map(spreadsheet_cell" in text, name
        if name != "common/escaping.py":
            assert not re.search(r"""replace\(["']\|["']|replace\(["']<["'], ["']&lt;""", text), name
