"""Swiss-Prot flat files, entry by entry: the current form of features and the columns before release 2019_12."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.data.rows.annotation import Feature, UniProtEntry, feature
from hubtools.data.sources.streams import text_lines
from hubtools.specs.files.table_file import TableFile

_TOPIC = re.compile(r"^CC   -!- ([A-Z][A-Z ,/-]*): ?(.*)")
# Kinds that releases before 2022_03 kept apart from BINDING.
_FORMER_BINDING = ("METAL", "NP_BIND", "CA_BIND")
# In the words of today, and of before 2006.
DATES = {
    "date_created": re.compile(r"integrated into|, Created\)"),
    "date_sequence_modified": re.compile(r"sequence version|, Last sequence update\)"),
}
_LENGTH = re.compile(r"(\d{1,9}) AA\.\s*$")


@reads("Swiss-Prot flat file")
def read_entries(file: TableFile, path: Path, fields: list[str]) -> Iterator[UniProtEntry]:
    """The entries of a flat file with the comments and features asked for, one in memory at a time.

    Args:
        file: what it is.
        path: where it is.
        fields: UniProt's names, such as ``ft_mod_res`` and ``cc_subcellular_location``.

    Raises:
        UserError: not a flat file, an entry without accession or of another length than it says, or a file that ends
            within an entry.
    """
    topics = {name.removeprefix("cc_").replace("_", " ").upper(): name for name in fields if name.startswith("cc_")}
    kinds = {name.removeprefix("ft_").upper(): name for name in fields if name.startswith("ft_")}
    if "ft_binding" in fields:
        kinds |= dict.fromkeys(_FORMER_BINDING, "ft_binding")
    wanted = {"ID", "AC", "DT", "OX", "SQ", "  ", *(["CC"] if topics else []), *(["FT"] if kinds else [])}
    lines: list[str] = []
    for number, line in enumerate(text_lines(file, path), 1):
        code = line[:2]
        if code == "//":
            yield _entry(lines, topics, kinds, f"{file.path_for_format}:{number}")
            lines = []
        elif code in wanted:
            if not lines and code != "ID":
                if not line.strip():
                    continue
                raise UserError(
                    "an entry starts with a line ID", where=f"{file.path_for_format}:{number}", fix="State its format."
                )
            lines.append(line)
        elif not lines and line.strip():
            raise UserError(
                "not a Swiss-Prot flat file", where=f"{file.path_for_format}:{number}", fix="State its format."
            )
    if lines:
        name = lines[0][5:].split(" ")[0]
        raise UserError(f"the file ends within the entry {name}", where=file.location, fix="Fetch it again.")


def _entry(lines: list[str], topics: dict[str, str], kinds: dict[str, str], where: str) -> UniProtEntry:
    by_code: dict[str, list[str]] = {}
    for line in lines:
        by_code.setdefault(line[:2], []).append(line)
    if "ID" not in by_code or "AC" not in by_code or "SQ" not in by_code:
        raise UserError("the entry has no line ID, AC or SQ", where=where, fix="State its format.")
    _, name, *_ = [*by_code["ID"][0].split(), ""]
    accession = by_code["AC"][0][5:].split(";")[0].strip()
    if not name or not accession:
        raise UserError("the entry's line ID or AC names nothing", where=where, fix="State its format.")
    sequence = "".join("".join(line.split()) for line in by_code.get("  ", []))
    stated = _LENGTH.search(by_code["ID"][0])
    if stated and int(stated[1]) != len(sequence):
        raise UserError(
            f"{accession} is said to have {int(stated[1]):,} residues and has {len(sequence):,}",
            where=where,
            fix="Fetch the file again.",
        )
    organism = re.search(r"NCBI_TaxID=(\d+)", by_code.get("OX", [""])[0])
    return UniProtEntry(
        accession=accession,
        sequence=sequence,
        comments=_comments(by_code.get("CC", []), topics),
        features=_features(by_code.get("FT", []), kinds, f"{where}, {accession}"),
        name=name,
        organism_id=organism[1] if organism else "",
        dates=_dates(by_code.get("DT", [])),
    )


def _dates(lines: list[str]) -> dict[str, str]:
    """The day of each of UniProt's date fields, as the file writes it: 17-NOV-2021."""
    return {name: line[5:16] for name, words in DATES.items() for line in lines if words.search(line)}


def _comments(lines: list[str], topics: dict[str, str]) -> dict[str, str]:
    """The comments asked for, as UniProt's tables write them: the topic, a colon, the text; several in one text."""
    found: dict[str, list[str]] = {}
    current: str | None = None
    for line in lines:
        if topic := _TOPIC.match(line):
            current = topics.get(topic[1])
            if current:
                found.setdefault(current, []).append(f"{topic[1]}: {topic[2].strip()}")
        elif line.startswith("CC   -"):
            current = None  # The copyright below a line of hyphens.
        elif current:
            found[current][-1] = _joined(found[current][-1], line[5:].strip())
    return {name: "; ".join(text.strip() for text in texts) for name, texts in found.items()}


def _features(lines: list[str], kinds: dict[str, str], where: str) -> dict[str, list[Feature]]:
    found: dict[str, list[Feature]] = {}
    at = 0
    while at < len(lines):
        head, below = lines[at], []
        at += 1
        while at < len(lines) and not lines[at][5:13].strip():
            below.append(lines[at][5:].strip())
            at += 1
        kind = head[5:13].strip()
        if kind not in kinds:
            continue
        if head[13:21].strip():
            made = _old_feature(head, below, where)
        else:
            parts = _qualifiers(below)
            made = feature(head[21:].strip(), parts.get("note", ""), parts.get("evidence", ""), where)
        found.setdefault(kinds[kind], []).append(made)
    return found


def _old_feature(head: str, below: list[str], where: str) -> Feature:
    """A feature in columns: first residue, last residue, description; what comes below goes on with it."""
    start, end, text = head[14:20].strip(), head[21:27].strip(), head[34:].strip()
    for line in below:
        if not line.startswith("/"):
            text = _joined(text, line)
    return feature(start if start == end else f"{start}..{end}", text, "", where)


def _qualifiers(lines: list[str]) -> dict[str, str]:
    """The values of ``/name="value"`` lines; a value may go on over lines, and quotes in it are doubled."""
    texts: list[str] = []
    open_value = False
    for line in lines:
        if open_value:
            texts[-1] = _joined(texts[-1], line)
        elif line.startswith("/"):
            texts.append(line)
        else:
            continue
        # Each quote that opens has one that closes; a doubled one is both.
        open_value = texts[-1].count('"') % 2 == 1
    found: dict[str, str] = {}
    for text in texts:
        name, _, value = text[1:].partition("=")
        found.setdefault(name, value.removeprefix('"').removesuffix('"').replace('""', '"'))
    return found


def _joined(text: str, line: str) -> str:
    """A text and the line it goes on with: at a hyphen or slash a word was broken, not two."""
    return f"{text}{line}" if re.search(r"\w[-/]$", text) else f"{text} {line}".strip()
