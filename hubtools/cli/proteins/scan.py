"""``bench scan``: every substitution of a protein, scored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.api.computing import ExecutionOptions
from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.execution_options import execution_options
from hubtools.cli.shared.terminal import SHOWN, SKIP_BAD, hush_transformers, note, structures_option, tell_of_proteins
from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from hubtools.api.proteins.scanning_proteins import SubstitutionScan

# Why what scans takes not all options of computing.
SCANNING = {
    "mirrors": "no data of a task are read",
    "gradient_checkpointing": "nothing is trained, so that no activations are kept",
    "embedding_cache": "scores are of the whole model, and nothing is kept of it",
    "shard": "a model that is asked is on one device",
    "track": "nothing is trained, so that there is nothing to follow",
}


@click.command(cls=StrictCommand, short_help="Score every substitution of a protein.")
@click.argument("proteins", metavar="PROTEINS")
@click.option("--checkpoint", metavar="NAME", help="A masked language model: Hub id, also NAME@commit, or a folder.")
@click.option(
    "--model", metavar="MODEL", help="In its place a run, or a model that bench published, as for bench predict."
)
@click.option(
    "--scoring",
    default="masked-marginals",
    show_default=True,
    type=click.Choice(["masked-marginals", "wildtype-marginals"]),
    help="Of a checkpoint: each position hidden and read alone, or the protein read once as it is.",
)
@click.option("--label", metavar="NAME", help="Of a model with labels: whose probability counts.")
@click.option("--region", metavar="FIRST-LAST", help="Only these residues, from 1.")
@click.option("-o", "--out", metavar="FILE", help="The table, written here: .csv, .tsv, .jsonl, .parquet.")
@click.option(
    "--figure",
    metavar="FILE",
    help="The map, drawn here: .png, .pdf, .svg; of several proteins a folder.",
)
@SKIP_BAD
@structures_option("what reads")
@execution_options(refused=SCANNING)
def scan(proteins: str, out: str | None, figure: str | None, execution: ExecutionOptions, **asked: Any) -> None:
    """Score every substitution of each protein of a file.

    With --checkpoint the score is log p(mutant) − log p(wild type), as variant-effect tasks have it (Meier et al., 2021): below 0
    is less expected than the wild type. With --model it is what the model predicts of the mutant less what it predicts of the
    wild type: the value, or the probability of --label.

    PROTEINS are read as by bench predict. The table has a row for each substitution (position from 1); the map a column for each
    residue, wrapped to the width of a page, with colours centred at 0.

    \b
    bench scan ubiquitin.fasta --checkpoint facebook/esm2_t33_650M_UR50D -o scan.csv --figure scan.pdf
    bench scan gfp.fasta --model runs/RUN --region 50-120 -o scan.parquet
    """
    import hubtools
    from hubtools.api.proteins.scanning_proteins import check_scan_paths

    if out is None and figure is None:
        raise UserError(
            "nothing would be written", fix="Name a table with -o scan.csv, a map with --figure scan.pdf, or both."
        )
    check_scan_paths(out, figure)
    hush_transformers()
    source = proteins if proteins == "-" else Path(proteins)
    done = hubtools.scan(source, execution=execution, on_note=note, **asked)
    written = [] if out is None else [done.write(out)]
    _tell(done, written, [] if figure is None else done.draw(figure))


def _tell(done: SubstitutionScan, tables: list[Path], maps: list[Path]) -> None:
    """What was scored and written, on stderr, a line each."""

    def say(text: str) -> None:
        click.echo(text, err=True)

    say(str(done))
    for one in done.scanned[:SHOWN]:
        rows = [row for row in one.rows() if row[-1] == row[-1]]
        if not rows:
            continue
        low, high = min(rows, key=lambda row: row[-1]), max(rows, key=lambda row: row[-1])
        own = "" if one.wild_type is None else f"; the wild type itself {one.wild_type:.4g}"
        say(f"{one.protein.id}: from {low[4]} {low[-1]:+.3g} to {high[4]} {high[-1]:+.3g}{own}".replace(" -", " −"))
    tell_of_proteins(done.notes, done.left_out)
    for path in tables:
        say(f"wrote {path}, and how it was made: {path}.json")
    for path in maps[:SHOWN]:
        say(f"wrote {path}")
    if len(maps) > SHOWN:
        say(f"wrote {len(maps) - SHOWN:,} maps more")
