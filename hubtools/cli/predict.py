"""``bench predict``: what a model says of proteins in a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubtools.cli.execution_options import ASKING, ExecutionOptions, execution_options
from hubtools.cli.terminal import hush_transformers, model_named
from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from hubtools.inference.decisions import Decided
    from hubtools.inference.predictor import Predictor, Protein
    from hubtools.inference.proteins import Unreadable

# Lines on what was left out that are shown at the end.
SHOWN = 10


@dataclass
class Tally:
    """What was read and said, for the end."""

    proteins: int = 0
    residues: int = 0
    cut: int = 0
    windows: int = 0
    longest: int = 0
    beyond: int = 0
    dna: int = 0
    repeated: int = 0
    letters: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)


@click.command(short_help="Predict on a FASTA file.")
@click.argument("model", metavar="MODEL")
@click.argument("proteins", metavar="PROTEINS")
@click.option("-o", "--out", default="-", metavar="FILE", help="Written here: .tsv, .csv, .jsonl, .parquet, .gff3.")
@click.option("--skip-bad", is_flag=True, help="Leave out what is no protein and go on; it is listed at the end.")
@execution_options(refused=ASKING)
def predict(model: str, proteins: str, out: str, skip_bad: bool, execution: ExecutionOptions) -> None:
    """Predict what a model was trained on for the proteins of a file.

    MODEL is one run, named as for bench board, or a model on the Hub that bench published (owner/name, or
    owner/name@revision). PROTEINS is a FASTA file or a table with a column sequence (.csv, .tsv), also gzipped or zipped; - reads FASTA from standard input.

    Proteins are read one after the other, long ones in windows, so that a file may be of any size. Labels are decided by
    the thresholds that were chosen on validation. Beside the file, FILE.json says how it was made.

    \b
    bench predict me/esm2-localisation proteins.fasta -o out.tsv
    bench predict runs/RUN proteins.fasta.gz -o sites.gff3
    """
    from hubtools.common.files import write_atomic
    from hubtools.inference.decisions import Decider
    from hubtools.inference.writers import PARTIAL, format_of, writing

    format_of(out)
    hush_transformers()
    predictor = opened(model, execution)
    decider, tally = Decider(predictor), Tally()
    about = predictor.about(model)
    try:
        with writing(out, decider, about) as writer:
            for answer in predictor.predict(_good(predictor, proteins, skip_bad, tally), many=True):
                decided = decider.decide(answer)
                writer.write(decided)
                _count(tally, decided)
    except (KeyboardInterrupt, UserError):
        if out != "-" and tally.proteins:
            click.echo(f"{tally.proteins:,} proteins were done: {out}{PARTIAL}", err=True)
        raise
    if out != "-":
        write_atomic(Path(f"{out}.json"), json.dumps(about | {"proteins": f"{tally.proteins:,}"}, indent=2) + "\n")
    _tell(predictor, tally, out)


def opened(model: str, execution: ExecutionOptions) -> Predictor:
    """The model that a user names, on the device and with the budget that were asked for.

    Raises:
        UserError: there is no such model, or the device cannot be used.
    """
    from hubtools.inference.named_model import open_predictor

    predictor = open_predictor(model_named(model), execution.choose())
    if predictor.execution.auto_budget:
        from hubtools.data import DataCache
        from hubtools.specs.recipe import Recipe
        from hubtools.training.compute.speed import settle_budget

        # Nothing is trained, and it computes in float32: as a probe reads.
        reading = Recipe(name="reading", adaptation="probe", precision="float32")
        root = DataCache.default(()).root
        predictor.execution = settle_budget(predictor.model, reading, predictor.execution, root)
    return predictor


def _good(predictor: Predictor, source: str, skip_bad: bool, tally: Tally) -> Iterator[Protein]:
    """The proteins of a file; what is none stops everything, or is left out and noted."""
    from hubtools.inference.predictor import Protein
    from hubtools.inference.proteins import nucleotides, read_proteins

    seen: set[str] = set()
    found: Iterable[Protein | Unreadable] = read_proteins(source, pairs=predictor.problem.level.proteins > 1)
    for one in found:
        if not isinstance(one, Protein):
            if not skip_bad:
                raise UserError(
                    one.error.what, where=one.error.where, fix=f"{one.error.fix or 'Correct it.'} Or go on: --skip-bad."
                )
            tally.left_out.append(str(one.error))
            continue
        tally.repeated += one.id in seen
        seen.add(one.id)
        tally.dna += nucleotides(one.sequence)
        yield one


def _count(tally: Tally, decided: Decided) -> None:
    protein = decided.answer.protein
    tally.proteins += 1
    tally.residues += len(protein.sequence) + len(protein.partner or "")
    tally.windows += decided.answer.windows
    tally.cut += decided.answer.windows > 1
    tally.longest = max(tally.longest, len(protein.sequence))
    tally.letters.update({letter: n for letter in "BJOUXZ" if (n := protein.sequence.count(letter))})
    tally.labels.update(label for labels in decided.labels for label in labels)


def _tell(predictor: Predictor, tally: Tally, out: str) -> None:
    """What was read and said, on stderr, a line each."""
    from hubtools.results.wording import plural

    def say(text: str) -> None:
        click.echo(text, err=True)

    noun = predictor.problem.level.row
    say(f"{plural(tally.proteins, noun)}, {plural(tally.residues, 'residue')}")
    if tally.cut:
        say(f"{plural(tally.cut, 'protein')} read in windows ({tally.windows:,} in all)")
    if tally.labels:
        unit = predictor.problem.level.names
        most = tally.labels.most_common(SHOWN)
        more = f", and {len(tally.labels) - SHOWN:,} labels more" if len(tally.labels) > SHOWN else ""
        say(f"{unit} predicted: {', '.join(f'{label} {n:,}' for label, n in most)}{more}")
    for line in _cautions(predictor, tally):
        say(f"note: {line}")
    for line in tally.left_out[:SHOWN]:
        say(f"left out: {line}")
    if len(tally.left_out) > SHOWN:
        say(f"left out: {len(tally.left_out) - SHOWN:,} more")
    if out != "-":
        say(f"wrote {out}, and how it was made: {out}.json")


def _cautions(predictor: Predictor, tally: Tally) -> Iterator[str]:
    """What a reader of the predictions should know."""
    data = predictor.record.data
    learnt = data.splits.get("train") if data else None
    if tally.dna:
        yield f"{tally.dna:,} sequences look like DNA or RNA: residues of proteins are expected"
    if tally.repeated:
        yield f"{tally.repeated:,} ids occur again: all are kept, in the order of the file"
    if tally.letters:
        letters = ", ".join(f"{letter} ({n:,})" for letter, n in sorted(tally.letters.items()))
        yield f"letters that stand for no single common residue: {letters}"
    if learnt is not None and tally.longest > 2 * learnt.longest:
        yield (
            f"the longest has {tally.longest:,} residues, of the training proteins {learnt.longest:,}: "
            "nothing is known of such ones"
        )
    if predictor.problem.kind != "regression" and not predictor.calibrated:
        yield "the calibration of these probabilities was not checked"
