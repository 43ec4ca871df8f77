"""CSV and TSV row by row: as the csv module reads them, and no row is lost or shifted without a word."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator

import pytest

from hubtools.common.errors import UserError
from hubtools.data.sources.separated import separated_rows


def read(text: str, table_format: str = "csv", **options: object) -> list[list[str]]:
    names, rows = separated_rows(io.StringIO(text, newline=""), table_format, "x", **options)  # type: ignore[arg-type]
    return [names, *rows]


def test_rows_are_what_the_csv_module_reads() -> None:
    """Against csv.reader on whole tables: separators, quotes and line ends inside of cells, empty cells, blank lines."""
    draw = random.Random(0)
    for _ in range(300):
        columns = draw.randint(2, 4)
        cells = [["".join(draw.choices('aé",\n ;', k=draw.randint(0, 5))) for _ in range(columns)] for _ in range(4)]
        text = io.StringIO(newline="")
        csv.writer(text).writerows([[f"c{place}" for place in range(columns)], *cells])
        text.write("\r\n")
        expected = [
            row for row in csv.reader(io.StringIO(text.getvalue(), newline=""), strict=True) if any(map(str.strip, row))
        ]
        assert read(text.getvalue()) == expected


def test_rows_are_read_one_at_a_time() -> None:
    def endless() -> Iterator[str]:
        yield "id,sequence\n"
        while True:
            yield "a,MKV\n"

    _, rows = separated_rows(endless(), "csv", "x")
    assert [next(rows) for _ in range(3)] == [["a", "MKV"]] * 3


def test_a_quote_that_is_not_closed_is_told_long_before_the_end() -> None:
    def endless() -> Iterator[str]:
        yield from ("id,sequence,name\n", 'a,MKV,"open\n')
        while True:
            yield "b,MKVLAAGIAW,closed\n"

    with pytest.raises(UserError, match=r"row 1, line 2: a quote opens and is not closed"):
        list(separated_rows(endless(), "csv", "x")[1])


HEAD = "id,sequence,name\nP1,MKTAYIAKQR,one\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            f'{HEAD}P2,ACDEFGHIKL,"two\nP3,WYACDEFGHI,three\n', "row 2, line 3: a quote opens", id="to the end"
        ),
        pytest.param(f'{HEAD}P2,mk,"two\nP3,ac,three\n', "row 2, line 3: a quote opens", id="no proteins follow"),
        pytest.param(f'{HEAD}P2,ACD,"two', "row 2, line 3: a quote opens", id="in the last line"),
        pytest.param(
            f'{HEAD}P2,ACDEFGHIKL,"two\nP3,mk,"three"\n', "row 2, line 3: a quote opens", id="another one opens"
        ),
        pytest.param(
            f'{HEAD}P2,ACDEFGHIKL,"two\nP3,WYACDEFGHI,3"\n', "row 2, line 3: a quote opens", id="a later one closes it"
        ),
        pytest.param(
            f'{HEAD}P2,"MKT\nAYI","two\nP3,WYACDEFGHI,three\n', "row 2, line 4: a quote opens", id="below a whole cell"
        ),
        pytest.param(f'{HEAD}P2,"ACD"EF,two\n', r"row 2, line 3: ',' expected after '\"'", id="text after a quote"),
        pytest.param(f"{HEAD}P2,ACD,two, too\n", "row 2, line 3: 3 fields expected, there are 4", id="too many"),
        pytest.param(f"{HEAD}\nP2,ACD\n", "row 2, line 4: 3 fields expected, there are 2", id="too few"),
        pytest.param('"id,sequence\nP1,MKT\n', r"\(line 1: a quote opens", id="in the names"),
        pytest.param("id,sequence, id\nP1,MKT,x\n", "two columns are called 'id'", id="one name twice"),
        pytest.param("", "no rows", id="empty"),
    ],
)
def test_what_is_wrong_is_named_where_it_begins(text: str, said: str) -> None:
    for table_format, separator in (("csv", ","), ("tsv", "\t")):
        with pytest.raises(UserError, match=said.replace("','", r"'\\t'" if separator == "\t" else "','")) as error:
            read(text.replace(",", separator), table_format)
        assert "\n" not in str(error.value)


def test_cells_over_several_lines_are_cells() -> None:
    assert read('name,sequence\n"a, b\nc, d","MKTAYIAKQR\nACDEF"\n') == [
        ["name", "sequence"],
        ["a, b\nc, d", "MKTAYIAKQR\nACDEF"],
    ]


def test_lines_above_the_table_and_names_from_elsewhere() -> None:
    assert read('made "yesterday\nMKT,1\n', header=["seq", "label"], skip=1) == [["seq", "label"], ["MKT", "1"]]
    with pytest.raises(UserError, match="row 2, line 3: 2 fields expected"):
        read("made yesterday\nMKT,1\nMKT\n", header=["seq", "label"], skip=1)


def test_columns_without_names_are_left_by_spreadsheets() -> None:
    assert read("id,sequence,,\na,MKT,,\n") == [["id", "sequence", "", ""], ["a", "MKT", "", ""]]
