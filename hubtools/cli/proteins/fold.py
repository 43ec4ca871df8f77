"""``bench fold``: the structure of each protein of a file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.api.computing import ExecutionOptions
from hubtools.api.proteins.folding_proteins import ESMFOLD
from hubtools.cli.run import stoppable
from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.engine_options import engine_options
from hubtools.cli.shared.execution_options import execution_options
from hubtools.cli.shared.terminal import (
    SHOWN,
    SKIP_BAD,
    hush_transformers,
    new_console,
    new_table,
    note,
    tell_of_proteins,
)

if TYPE_CHECKING:
    from hubtools.api.engines.dispatch import EngineChoice
    from hubtools.api.proteins.folding_proteins import FoldedProteins

# Why what folds takes not all options of computing.
FOLDING = {
    "mirrors": "no data of a task are read",
    "token_budget": "proteins are folded one at a time; --chunk-size is what saves memory",
    "gradient_checkpointing": "nothing is trained, so that no activations are kept",
    "embedding_cache": "a structure is of the whole model, and nothing else is kept of it",
    "packing": "proteins are folded one at a time, without padding",
    "compiled": "the models' own code is run as it is",
    "shard": "a model that folds is on one device",
    "track": "nothing is trained, so that there is nothing to follow",
    "trust_remote_code": "transformers' own classes fold, and no code of a checkpoint is run",
}


@click.command(cls=StrictCommand, short_help="Predict the structure of each protein.")
@click.argument("proteins", metavar="PROTEINS")
@click.option("-o", "--out", required=True, metavar="DIR", help="Folder of the structures, which is made.")
@click.option(
    "--checkpoint",
    default=ESMFOLD,
    show_default=True,
    metavar="NAME",
    help="ESMFold or ESMFold2: Hub id, also NAME@commit, or a folder.",
)
@click.option(
    "--format", "form", default="pdb", show_default=True, type=click.Choice(["pdb", "mmcif"]), help="Of the files."
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Known structures (PDB, mmCIF, BinaryCIF), named by ids: scores the predicted ones.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 10**9 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Of what a model draws.",
)
@click.option(
    "--samples",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Structures drawn of each protein, of which the most confident stays; memory grows with them. Default: the model's.",
)
@click.option(
    "--chunk-size",
    type=click.IntRange(1, 4096),
    metavar="N",
    help="Rows that memory-heavy layers compute at once: fewer take less memory and more time. Default: the model's.",
)
@click.option(
    "--max-length",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Fold all up to N residues, whatever the estimate of memory says, and leave out longer ones.",
)
@SKIP_BAD
@execution_options(refused=FOLDING)
@engine_options("proteins", "this process folds all")
def fold(proteins: str, execution: ExecutionOptions, by: EngineChoice, **asked: Any) -> None:
    """Predict the structure of each protein of a file.

    PROTEINS are read as by bench predict; chains of a complex stand in one sequence with : between. Memory is estimated before anything
    is loaded, and what does not fit is refused. The same command goes on where it was stopped; started several times at once, on one
    DIR, the processes divide the proteins.

    DIR gets ID.pdb (or .cif) with the model's confidence, pLDDT from 0 to 100, as B factor, ID.pae.npz with the predicted aligned error,
    folds.tsv, and fold.json, which says how they were made. With --against also scores.tsv: lDDT, TM-score, GDT-TS and RMSD of each
    protein; their means have 95 % intervals over proteins.

    \b
    bench fold proteins.fasta -o folds
    bench fold proteins.fasta -o folds2 --checkpoint biohub/ESMFold2 --samples 1
    bench fold proteins.fasta -o folds --against pdb-files
    bench fold proteins.fasta -o folds --workers auto
    bench fold proteins.fasta -o folds --on slurm --profile my-cluster
    """
    from hubtools.api.engines.dispatch import HandedOver
    from hubtools.api.proteins.folding_proteins import fold_by

    hush_transformers()
    source = proteins if proteins == "-" else Path(proteins)
    with stoppable():
        done = fold_by(by, source, execution=execution, on_note=note, **asked)
    if isinstance(done, HandedOver):
        note(f"{done}: {asked['out']}/")
        note(f"stop   bench cancel --runs {shlex.quote(asked['out'])}")
        note("then   the same command again: what is missing, or the table of all structures")
        return
    _tell(done)


def _tell(done: FoldedProteins) -> None:
    """What was folded: a table, on stderr where it is and what to do next."""
    from hubtools.api.proteins.folding_proteins import score_lines
    from hubtools.evaluation.metrics.structure_scores import SCORES
    from hubtools.findings.wording import number
    from hubtools.specs.metric_names import METRICS

    columns = ["protein", "residues", "chains", "mean pLDDT", "pTM", "seconds"]
    scored = {} if done.scores is None else {one.file: one.scores for one in done.scores.scored}
    named = list(SCORES) if scored else []
    table = new_table(*columns, *(METRICS[name].title for name in named), numbers_from=1)
    for row in done.folded[:SHOWN]:
        cells = (f"{row.length:,}", str(row.chains), f"{row.mean_plddt:.1f}", f"{row.ptm:.2f}", f"{row.seconds:.1f}")
        scores = (number(scored.get(row.file, {}).get(name)) for name in named)
        table.add_row(row.id, *cells, *scores)
    new_console().print(table)
    if len(done) > SHOWN:
        note(f"and {len(done) - SHOWN:,} more in {done.folder / 'folds.tsv'}")
    note(str(done))
    if done.scores is not None:
        note(f"against {len(done.scores.scored):,} known structures, means with 95 % intervals over proteins:")
        for line in score_lines(done.scores):
            note(f"  {line}")
    tell_of_proteins(done.notes, done.left_out)
    note(f"wrote {done.folder / 'folds.tsv'}, and how they were made: {done.folder / 'fold.json'}")
    if done.scores is None:
        note("next: hold them against known structures with --against DIR; pLDDT from 70 on is a confident backbone")
