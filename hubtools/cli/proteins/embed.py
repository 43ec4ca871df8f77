"""``bench embed``: embeddings of proteins in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.api.computing import ExecutionOptions
from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.execution_options import execution_options
from hubtools.cli.shared.terminal import SKIP_BAD, hush_transformers, structures_option, tell_of_proteins

if TYPE_CHECKING:
    from hubtools.api.proteins.embedding_proteins import ProteinEmbeddings

# Why what embeds takes not all options of computing.
EMBEDDING = {
    "mirrors": "no data of a task are read",
    "gradient_checkpointing": "nothing is trained, so that no activations are kept",
    "shard": "an encoder that is asked is on one device",
    "track": "nothing is trained, so that there is nothing to follow",
}
_READ = {
    ".parquet": 'pandas.read_parquet("{path}")',
    ".h5": 'h5py.File("{path}")',
    ".hdf5": 'h5py.File("{path}")',
    ".npz": 'numpy.load("{path}")',
    ".safetensors": 'safetensors.numpy.load_file("{path}")',
}


@click.command(cls=StrictCommand, short_help="Embeddings of the proteins of a file.")
@click.argument("proteins", metavar="PROTEINS")
@click.option("--checkpoint", required=True, metavar="NAME", help="Hub id, also NAME@commit, or a folder.")
@click.option("-o", "--out", required=True, metavar="FILE", help="Written here: .parquet, .h5, .safetensors, .npz.")
@click.option(
    "--per",
    default="protein",
    show_default=True,
    type=click.Choice(["protein", "residue"]),
    help="One row for a protein, or one for each residue.",
)
@click.option(
    "--pooling",
    default="mean",
    show_default=True,
    type=click.Choice(["mean", "max", "last", "cls"]),
    help="How the row of a protein is made: over its residues, of the last one, or of the first special token.",
)
@click.option(
    "--layer", default=-1, show_default=True, metavar="N", help="0 is the embedding, -1 the last, as in recipes."
)
@click.option(
    "--dtype",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "float16"]),
    help="Of the numbers in the file.",
)
@click.option(
    "--precision",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "bf16"]),
    help="In which they are computed; bf16 holds the weights of linear layers in bfloat16 and takes half the memory.",
)
@SKIP_BAD
@structures_option("checkpoints that read")
@execution_options(refused=EMBEDDING)
def embed(proteins: str, out: str, execution: ExecutionOptions, **asked: Any) -> None:
    """Embed the proteins of a file with a checkpoint, as a probe reads them.

    PROTEINS is a FASTA file or a table with a column sequence (.csv, .tsv), also gzipped or zipped; - reads FASTA from
    standard input. All are read, and that token i is residue i is proven, before anything is computed. Long proteins
    are read in overlapping windows; special tokens and padding are in no mean.

    In .parquet a row is a protein, or a residue; .h5, .safetensors and .npz hold an array a protein, by its id. What is
    computed is kept for the next time and for probes (bench cache ls), so that the same command goes on where it was
    stopped. Beside the file, FILE.json says how it was made.

    \b
    bench embed proteins.fasta --checkpoint facebook/esm2_t6_8M_UR50D -o embeddings.parquet
    bench embed proteins.fasta --checkpoint Rostlab/prot_t5_xl_uniref50 --per residue -o residues.h5
    """
    import hubtools

    hush_transformers()
    source = proteins if proteins == "-" else Path(proteins)
    _tell(hubtools.embed(source, out=out, execution=execution, **asked), out)


def _tell(done: ProteinEmbeddings, out: str) -> None:
    """What was read, proven and written, on stderr, a line each."""
    from hubtools.common.files import human
    from hubtools.findings.wording import plural

    def say(text: str) -> None:
        click.echo(text, err=True)

    run = done.run
    say(str(done))
    if run.alignment is not None:
        say(f"aligned: {run.alignment}")
    else:
        say("its tokens are no residues: the mean is over tokens")
    if run.together is not None:
        say(f"read together: {run.together}")
    if run.cut:
        say(f"{plural(run.cut, 'protein')} read in windows ({run.windows:,} in all)")
    if run.read:
        say(f"{plural(run.read, 'distinct protein')} found in the cache, {run.computed:,} computed")
    tell_of_proteins(done.notes, done.left_out)
    size = human(Path(out).stat().st_size)
    say(f"wrote {out} ({size}), and how it was made: {out}.json")
    say(f"next: read it in Python with {_READ[Path(out).suffix.lower()].format(path=out)}")
