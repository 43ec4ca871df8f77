"""What a file or an option may ask for, each bound with its reason, and the readers of JSON and YAML that keep them.

A few bytes can stand for more than any machine has: a packed stream of zeros, an alias of an alias, a range, brackets inside
brackets. Where real data may be large, the bound is on the ratio or the depth, not on the size: a local file of 100 GB is read
as ever, and a FASTA file of all of UniRef as a stream.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common.errors import UserError
from hubtools.common.readers import reads

if TYPE_CHECKING:
    import yaml

# Unpacked bytes per packed byte. Text of proteins packs to a third, columns of one value to some hundredths; zeros to a thousandth.
MOST_UNPACKED_RATIO = 500
# What may be unpacked whatever its ratio: small files of one value are no harm.
FREE_UNPACKED = 64 << 20  # bytes
# A whole chromosome on one line is no protein; labels of each residue of titin with a number each are 400 kB.
LONGEST_LINE = 64 << 20  # characters
# The longest protein known has 45,212 residues (PKZILLA-1), titin 35,000.
LONGEST_PROTEIN = 1_000_000  # residues
# The largest entries of the PDB, whole ribosomes and capsids, are 60 MB of mmCIF; one protein is some hundred kB.
LARGEST_STRUCTURE = 64 << 20  # bytes, unpacked
# A label of each pair of residues: 12.5 million of a protein of this length.
LONGEST_CHAIN = 5_000  # residues
# Cells of the table that a sequence and a chain are aligned by: 5,000 residues against as many.
MOST_ALIGNED = 25_000_000
# Values inside values. The deepest that bench writes is ten; parsers and those who walk through values call themselves.
DEEPEST = 100
# Values of a YAML file, those behind aliases each time they stand for.
MOST_VALUES = 1_000_000
# A double has 309 digits before the point at most; Python itself reads no whole number of more than 4,300.
MOST_DIGITS = 1_000
# Task files are kilobytes, the baseline of thousands of runs some megabytes.
LARGEST_SPEC = 16 << 20  # bytes
# A confusion matrix of a thousand classes is some megabytes of JSON; parsed, ten times that.
LARGEST_JSON = 64 << 20  # bytes
# Gene Ontology has 48,000 terms, the Enzyme Commission 8,000 numbers. Each label is a row of the head.
MOST_LABELS = 200_000
# Up to so many labels a record has a row of each; of more, one of those that are most frequent.
MOST_LABELS_LISTED = 1_500
LABELS_LISTED = 100
# Each is a run that trains. More than some tens tell nothing more.
MOST_SEEDS = 10_000
# The error of an interval's end falls with their root: at 10,000 it is below what a card prints.
MOST_REPLICATES = 1_000_000
# How JSON writes half a character, alone or beside the other half.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
# Rows that a Parquet file declares per byte of it: a row holds a sequence, and so is some bytes.
MOST_ROWS_PER_BYTE = 100


def at_most(count: int, most: int, what: str, where: str) -> int:
    """The count.

    Raises:
        UserError: it is beyond the bound.
    """
    if count > most:
        raise UserError(f"more than {most:,} {what}", where=where, fix="Ask for fewer.")
    return count


def read_bounded(path: Path, most: int, where: str | None = None) -> bytes:
    """The content of a small file, called ``where`` in messages (by default its path).

    Raises:
        UserError: it is larger than such a file can be.
        OSError: it cannot be read.
    """
    if (size := path.stat().st_size) > most:
        raise UserError(f"it is too large ({size:,} bytes; at most {most:,} are read)", where=where or str(path))
    return path.read_bytes()


@reads("JSON", refuses=("ValueError",))
def json_values(text: str | bytes) -> Any:
    """The values that a JSON text is.

    Raises:
        ValueError: it is none, it is deeper or larger than the bounds, or a text in it is none that can be written.
    """
    if len(text) > LARGEST_JSON:
        raise ValueError(f"more than {LARGEST_JSON:,} characters")
    try:
        values = json.loads(text)
    except RecursionError:
        raise ValueError(f"more than {DEEPEST} values inside each other") from None
    _flat_enough(values)
    if isinstance(text, bytes) or _HALF.search(text):
        try:
            json.dumps(values, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a text ends within a character") from None
    return values


def _flat_enough(values: Any) -> None:
    level = [values] if isinstance(values, (dict, list)) else []
    for _ in range(DEEPEST + 1):
        if not level:
            return
        held = (inner for one in level for inner in (one.values() if isinstance(one, dict) else one))
        level = [inner for inner in held if isinstance(inner, (dict, list))]
    raise ValueError(f"more than {DEEPEST} values inside each other")


@reads("YAML", refuses=("YAMLError",))
def yaml_values(text: str) -> Any:
    """The values that a YAML text is, as a document of one's own or of a stranger's.

    Raises:
        yaml.YAMLError: it is none, or goes beyond the bounds; with the line where that is known.
    """
    import yaml

    return yaml_parsed(text, yaml.SafeLoader)[1]


@reads("YAML", refuses=("YAMLError",))
def yaml_parsed(text: str, parser: Any, check: Any = None) -> tuple[yaml.Node | None, Any]:
    """The nodes of a YAML text and its values.

    Args:
        text: the YAML.
        parser: of PyYAML, a safe one.
        check: called with the nodes before values are made of them, which writes merged keys into them.

    Raises:
        yaml.YAMLError: as :func:`yaml_values`.
    """
    import yaml

    root = yaml_nodes(text, parser)
    if check is not None:
        check(root)
    if root is None:
        return None, None
    loader = parser("")
    try:
        return root, loader.construct_document(root)
    except (ValueError, OverflowError, RecursionError) as error:
        # Such as a date that no calendar has.
        said = str(error)
        if isinstance(error, RecursionError) or "invalid literal" in said or "could not convert" in said:
            said = "a value that is not what its tag says"
        raise yaml.constructor.ConstructorError(None, None, said, root.start_mark) from None
    finally:
        loader.dispose()


@reads("YAML", refuses=("YAMLError",))
def yaml_nodes(text: str, parser: Any) -> yaml.Node | None:
    """The nodes of a YAML text.

    Raises:
        yaml.YAMLError: as :func:`yaml_values`.
    """
    _within_bounds(text, parser)
    loader = parser(text)
    try:
        root: yaml.Node | None = loader.get_single_node()
        return root
    finally:
        loader.dispose()


def _within_bounds(text: str, parser: Any) -> None:
    """Go through the events of a text, which nest nothing and copy nothing.

    Raises:
        yaml.YAMLError: an alias of what it is in, too many values, too deep, or a number that is none.
    """
    import yaml

    def beyond(what: str) -> yaml.YAMLError:
        return yaml.composer.ComposerError(None, None, what, event.start_mark)

    if len(text) > LARGEST_SPEC:
        raise yaml.composer.ComposerError(None, None, f"more than {LARGEST_SPEC:,} characters", None)
    # How many values each anchor stands for, and what is open: its anchor, and how many there were before it.
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    total = 0
    try:
        loader = parser(text)
    except UnicodeEncodeError:
        raise yaml.YAMLError("a text ends within a character") from None
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.AliasEvent):
                if any(anchor == event.anchor for anchor, _ in opened):
                    raise beyond(f"*{event.anchor} stands inside what it stands for")
                total += sizes.get(event.anchor or "", 0)
            elif isinstance(event, yaml.ScalarEvent):
                total += 1
                if not event.value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in event.value):
                    raise beyond("a text ends within a character")
                if event.anchor:
                    sizes[event.anchor] = 1
                if (
                    event.implicit[0]
                    and len(event.value) > MOST_DIGITS
                    and not event.value.strip("+-0123456789_.:eExX")
                ):
                    raise beyond(f"a number of {len(event.value):,} digits")
            elif isinstance(event, yaml.CollectionStartEvent):
                total += 1
                opened.append((event.anchor, total))
                if len(opened) > DEEPEST:
                    raise beyond(f"more than {DEEPEST} values inside each other")
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = opened.pop()
                if anchor:
                    sizes[anchor] = total - before + 1
            if total > MOST_VALUES:
                raise beyond(f"it stands for more than {MOST_VALUES:,} values")
    finally:
        loader.dispose()
