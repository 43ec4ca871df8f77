"""What reads something that somebody else may have written is in the one list, ``hubtools.common.readers.READERS``; read from the source."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from reader_list import MODULES, ROOT, is_listed, reader, reader_names

from hubtools.common.readers import READERS

# What makes values of bytes or text, whoever's function it is: by the name that is called.
PARSING = {
    *(
        "json_values",
        "yaml_values",
        "yaml_parsed",
        "yaml_nodes",
        "literal_eval",
        "validate_json",
        "model_validate_json",
    ),
    *("safe_open", "load_file", "memmap", "read_schema", "ParquetFile", "from_pretrained", "get_template"),
    *("ZipFile", "GzipFile", "decompress", "DictReader", "read_csv"),
}
# Some have a name that means more elsewhere.
DOTTED = {
    "json.loads",
    "json.load",
    "np.load",
    "torch.load",
    "csv.reader",
    "pq.read_table",
    "yaml.safe_load",
    "yaml.load",
}
# What is read inside of a reader's call, or was written by the same command.
ALLOWED = {
    "hubtools/api/tasks/task_text.py:_reads_back": "whether a text that is written here reads back as itself",
    "hubtools/data/sources/kinds/structures_source.py:read": "what was written in the lines before, now or earlier",
    "hubtools/data/rows/label_cells.py:_quoted": "of listed",
    "hubtools/data/sources/archives.py:_zipped": "of archived_files",
    "hubtools/data/sources/streams.py:_archive": "of unpacked and only_member",
    "hubtools/data/sources/uniprot.py:_unpacked": "of the page and of the error that they are, within a bound",
    "hubtools/data/sources/spreadsheet.py:_sound": "of workbook_rows",
    "hubtools/data/sources/separated.py:_rows": "of separated_rows",
    "hubtools/data/sources/separated.py:_lines_before_quote": "of separated_rows",
    "hubtools/data/sources/table_files.py:_read_parquet": "of table_rows",
    "hubtools/data/sources/table_files.py:_read_json_lines": "of table_rows",
    "hubtools/evaluation/predictions.py:_metadata": "of read_predictions and read_label_names",
    "hubtools/inference/checkpoints/embedding_files.py:_npz": "an archive that is written, not read",
    "hubtools/exporting/static_page.py:page_facts": "what was written in the lines before",
    "hubtools/models/encoder.py:load_native": "of a checkpoint that load_encoder has read; inside loaded()",
    "hubtools/models/checkpoint.py:tensors": "of files that check_weights has read",
    "hubtools/models/checkpoint.py:__getitem__": "of a file that check_weights has read; inside loaded()",
    "hubtools/models/encoder.py:_encoder_of": "of load_encoder; inside loaded()",
    "hubtools/models/encoder.py:from_files": "of load_encoder, load_masked_lm, load_contact_model and FoldingModel; inside loaded()",
    "hubtools/models/longest_input.py:_one_layer": "of a checkpoint that load_encoder has read",
    "hubtools/models/modeling_protein_task.py:load_encoder": "ships with models, for strangers",
    "hubtools/models/assembling.py:_tensors": "of put_together, after check_weights",
    "hubtools/models/assembling.py:_with_head": "of put_together; inside loaded()",
    "hubtools/models/saved.py:tokeniser_in": "of load_model and put_together; inside loaded()",
    "hubtools/models/saved.py:_for_strangers": "what was saved in the lines before",
    "hubtools/models/masked_lm.py:language_model_of": "of load_masked_lm and load_causal_lm; inside loaded()",
    "hubtools/models/saved.py:_model_in": "of load_model; inside loaded()",
    "hubtools/models/saved.py:_with_adapter": "of load_model; inside loaded()",
    "hubtools/publishing/contents.py:_safe": "headers, of files whose checksums were compared; what fails is told",
    "hubtools/publishing/earlier.py:_with_settings": "of merged_card",
    "hubtools/publishing/reload.py:reproduce_in_fresh_process": "what its own process wrote",
    "hubtools/publishing/reload.py:_read_task": "what the process that started this one wrote",
    "hubtools/api/engines/engine_job.py:_listen": "what the process that started this one wrote",
    "hubtools/runs/engines/job_events.py:event_of": "what its own process wrote",
    "hubtools/runs/store.py:_schema": "of parse_record, which has refused it",
    "hubtools/runs/sweeps/search_space.py:_dimension": "of read_space",
    "hubtools/specs/lookup/spec_files.py:line_of_key": "of a file that was read in the lines before",
    "hubtools/specs/lookup/spec_files.py:_parsed": "of parse_spec",
    "hubtools/training/finetune/resume.py:_shapes": "of a checkpoint of the fit: whatever is wrong, the fit goes on without it",
    "hubtools/training/finetune/resume.py:_numbered": "of the same, after its sums were compared",
    "hubtools/training/finetune/resume.py:load_weights": "of the same, after its sums were compared",
}
# Options whose callback reads nothing.
NO_READERS = {"_use_templates", "_use_families"}


def parsing(node: ast.AST) -> bool:
    """Whether a call makes values of bytes or text."""
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func)
    return name in DOTTED or name.rpartition(".")[2] in PARSING


def unlisted(source: str) -> Iterator[tuple[str, str]]:
    """Function and text of each call that parses outside of a reader."""

    def within(node: ast.AST, function: str) -> Iterator[tuple[str, str]]:
        if is_listed(node):
            return
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = node.name
        if parsing(node):
            yield function, ast.unparse(node)
        for child in ast.iter_child_nodes(node):
            yield from within(child, function)

    yield from within(ast.parse(source), "")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_parsed_but_by_the_list(path: Path) -> None:
    place = path.relative_to(ROOT.parent).as_posix()
    found = [
        f"{place}: {line}" for function, line in unlisted(path.read_text()) if f"{place}:{function}" not in ALLOWED
    ]
    assert not found, "put the function into the list: @reads(...) of hubtools/common/readers.py"


def test_the_list_is_what_the_source_says() -> None:
    assert {name: reader(name).read for name in reader_names()} == {name: one.read for name, one in READERS.items()}


def test_nothing_is_allowed_that_is_not_there() -> None:
    there = {
        f"{path.relative_to(ROOT.parent).as_posix()}:{function}"
        for path in MODULES
        for function, _ in unlisted(path.read_text())
    }
    assert set(ALLOWED) <= there


def commands(group: click.Command, name: str = "bench") -> Iterator[tuple[str, click.Command]]:
    """All commands below a group, and what they are called."""
    yield name, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for called in group.list_commands(context):
            if (found := group.get_command(context, called)) is not None:
                yield from commands(found, f"{name} {called}")


def test_each_option_with_a_form_of_its_own_is_read_by_one_of_the_list() -> None:
    from hubtools.cli.main import cli

    listed = {reader(name).read for name in reader_names()}
    seen = 0
    for name, command in commands(cli):
        for parameter in command.params:
            callback = getattr(parameter, "callback", None)
            # A partial refuses the option whatever it is.
            if callback is None or isinstance(callback, functools.partial) or callback.__name__ in NO_READERS:
                continue
            if callback.__module__.startswith("hubtools."):
                seen += 1
                assert callback in listed, f"{name} {parameter.opts[-1]}: put {callback.__name__} into the list"
    assert seen > 5


@pytest.mark.parametrize(
    "line",
    [
        "json_values(text)",
        "bounds.yaml_values(text)",
        "json.loads(text)",
        "pq.read_table(path)",
        "Model.model_validate_json(text)",
        "csv.reader(lines)",
        "ast.literal_eval(cell)",
        "AutoModel.from_pretrained(folder)",
        "np.load(path, allow_pickle=False)",
    ],
)
def test_the_search_for_it_finds_it(line: str) -> None:
    assert list(unlisted(f"def f():\n    {line}"))
    assert not list(unlisted(f"@reads('x')\ndef f():\n    def g():\n        {line}"))


@pytest.mark.parametrize("line", ["read_table(file, path)", "loader.load()", "json.dumps(x)", "store.reader(x)"])
def test_what_only_looks_like_it_is_left_alone(line: str) -> None:
    assert not list(unlisted(line))
