"""``bench predict``: what a model says of proteins in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubtools.api.computing import ExecutionOptions
from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.execution_options import ASKING, execution_options
from hubtools.cli.shared.terminal import SHOWN, SKIP_BAD, hush_transformers, note, structures_option, tell_of_proteins
from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from hubtools.api.predicting import ProteinTable
    from hubtools.inference.decisions import Decided


@click.command(cls=StrictCommand, short_help="Predict on a FASTA file.")
@click.argument("model", metavar="MODEL")
@click.argument("proteins", metavar="PROTEINS")
@click.option("-o", "--out", default="-", metavar="FILE", help="Written here: .tsv, .csv, .jsonl, .parquet, .gff3.")
@SKIP_BAD
@structures_option("models that read")
@click.option(
    "--paint",
    metavar="STRUCTURES",
    help="Structure file, or folder of them named by id: predictions of residues are painted on them, in FILE.html and FILE.structures.",
)
@execution_options(refused=ASKING)
def predict(
    model: str,
    proteins: str,
    out: str,
    skip_bad: bool,
    structures: Path | None,
    paint: str | None,
    execution: ExecutionOptions,
) -> None:
    """Predict what a model was trained on for the proteins of a file.

    MODEL is one run, named as for bench board, or a model on the Hub that bench published (owner/name, or
    owner/name@revision). PROTEINS is a FASTA file or a table with a column sequence (.csv, .tsv), also gzipped or zipped, or a structure file, whose chains are read; - reads FASTA from standard input.

    Proteins are read one after the other, long ones in windows, so that a file may be of any size. Labels are decided by
    the thresholds that were chosen on validation. A model that was trained with structures reads a protein without a file in
    --structures with # in their place, and says of how many. Beside the file, FILE.json says how it was made.

    \b
    bench predict me/esm2-localisation proteins.fasta -o out.tsv
    bench predict runs/RUN proteins.fasta.gz -o sites.gff3
    bench predict runs/RUN 1aki.pdb -o 1aki.tsv --paint 1aki.pdb
    """
    import hubtools
    from hubtools.common.files import PARTIAL

    hush_transformers()
    answered = 0

    def count(decided: Decided) -> None:
        nonlocal answered
        answered += 1

    try:
        # Always a file here: a bare word is the name of one, not a sequence.
        source = proteins if proteins == "-" else Path(proteins)
        done = hubtools.predict(
            model,
            source,
            structures=structures,
            out=out,
            paint=paint,
            skip_bad=skip_bad,
            execution=execution,
            on_answer=count,
            on_note=note,
        )
    except (KeyboardInterrupt, UserError):
        if out != "-" and answered and Path(f"{out}{PARTIAL}").is_file():
            click.echo(f"{answered:,} proteins were done: {out}{PARTIAL}", err=True)
        raise
    _tell(done, out)
    if paint is not None:
        click.echo(f"painted on structures: {out}.html, and as B factors in {out}.structures", err=True)


def _tell(done: ProteinTable, out: str) -> None:
    """What was read and said, on stderr, a line each."""
    from hubtools.findings.wording import plural

    problem, tally = done.predictor.problem, done.tally

    def say(text: str) -> None:
        click.echo(text, err=True)

    noun = problem.level.row
    say(f"{plural(tally.proteins, noun)}, {plural(tally.residues, 'residue')}")
    if tally.cut:
        say(f"{plural(tally.cut, 'protein')} read in windows ({tally.windows:,} in all)")
    if tally.labels:
        unit = problem.level.names
        most = tally.labels.most_common(SHOWN)
        more = f", and {len(tally.labels) - SHOWN:,} labels more" if len(tally.labels) > SHOWN else ""
        say(f"{unit} predicted: {', '.join(f'{label} {n:,}' for label, n in most)}{more}")
    tell_of_proteins(done.notes, tally.left_out)
    if out != "-":
        say(f"wrote {out}, and how it was made: {out}.json")
