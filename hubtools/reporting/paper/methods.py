"""A paragraph for the methods section of a paper: what was done, from the record alone."""

from __future__ import annotations

from collections.abc import Iterator

from hubtools.findings.arms import Arm
from hubtools.findings.wording import interval, metric_title, number, plural
from hubtools.reporting.card.card_procedure import adapter_in_words
from hubtools.reporting.card.citation import of_bench
from hubtools.reporting.paper.literature import keys_of, of_checkpoint, of_data, of_methods

_PACKAGES = ("torch", "transformers", "peft", "scikit-learn")
_BASELINES = {
    "majority": "the most frequent label, or the mean, of the training data",
    "composition": "a linear model on the amino-acid composition",
    "onehot-window": "a linear model on a one-hot window around the residue",
    "nearest-neighbour": "the label of the nearest training protein by alignment",
    "substitution-matrix": "the sum of BLOSUM62 over the substitutions",
    "separation": "the separation of two residues in the sequence",
    "helix": "one straight helix",
}


def methods_of(arm: Arm, split: str = "test") -> str:
    """A paragraph in plain text; ``[@key]`` names an entry of :func:`hubtools.reporting.paper.literature.bibtex_of`.

    Args:
        arm: complete runs that differ in their seed alone.
        split: whose score is told.
    """
    return " ".join(_sentences(arm, split)) + "\n"


def _cited(entries: str) -> str:
    keys = keys_of(entries)
    return f" [{'; '.join(f'@{key}' for key in keys)}]" if keys else ""


def _sentences(arm: Arm, split: str) -> Iterator[str]:
    record, task = arm.record, arm.task
    title = task.title or task.name
    bench = _cited(of_bench(record))
    yield f"We used bench{bench} version {record.environment.bench} on its task {title} ({task.name}, version {task.version}){_cited(of_data(record))}."
    yield from _data(arm)
    yield from _model(arm)
    yield from _trained(arm)
    yield from _measured(arm, split)
    packages = record.environment.packages
    versions = [f"{name} {packages[name]}" for name in _PACKAGES if name in packages]
    python = record.environment.python.split()[0]
    yield f"Everything ran on {record.environment.device_name} with Python {python}, {', '.join(versions)}; the identifiers of the runs are {', '.join(one.run_id for _, one in arm.runs)}."


def _data(arm: Arm) -> Iterator[str]:
    record = arm.record
    if record.data is None:
        return
    splits = []
    for name, facts in record.data.splits.items():
        labels = f" ({facts.labelled:,} labels)" if facts.labelled != facts.proteins else ""
        splits.append(f"{plural(facts.proteins, 'protein')}{labels} in {name}")
    share = ""
    if record.identity.subset is not None:
        share = f" Of each split at most {record.identity.subset:,} were drawn by a fixed rule."
    if record.identity.fraction is not None:
        share += f" Of the training split {record.identity.fraction:.4g} was drawn by the seed."
    yield f"The data hold {', '.join(splits)} (digest {str(record.identity.data)[:12]}).{share}"


def _model(arm: Arm) -> Iterator[str]:
    record, recipe = arm.record, arm.record.recipe_spec
    checkpoint = record.identity.checkpoint
    if checkpoint is None:
        yield f"The baseline is {_BASELINES.get(recipe.baseline or '', recipe.baseline)}{_cited(' '.join(of_methods(record)))}."
        return
    pinned = f"commit {checkpoint.commit}" if checkpoint.commit else f"content {(checkpoint.sha256 or '')[:12]}"
    size = f", {record.checkpoint.parameters:,} parameters" if record.checkpoint else ""
    random = " with random weights in place of the trained ones" if recipe.weights == "random" else ""
    yield f"The checkpoint was {checkpoint.name}{random} ({pinned}{size}){_cited(of_checkpoint(record))}."
    if record.alignment is not None:
        yield f"That each token stands for one residue was proven ({record.alignment.aligned:,} of {record.alignment.residues:,})."
    if record.windows is not None:
        windows = record.windows
        cut = f", as were {plural(windows.proteins_cut, 'protein')}" if windows.proteins_cut else ""
        yield f"Proteins longer than {windows.residues_per_window:,} residues are read in windows that overlap by {windows.overlap:,}{cut}."


def _trained(arm: Arm) -> Iterator[str]:
    record, recipe = arm.record, arm.record.recipe_spec
    if recipe.adaptation == "baseline":
        return
    cited = _cited("\n".join(of_methods(record)))
    if recipe.adaptation == "zero-shot":
        if recipe.scoring == "folding":
            yield f"Nothing was trained: structures were predicted by the checkpoint as it was published{cited}."
            return
        yield f"Nothing was trained: variants, or pairs of residues, were scored by {recipe.scoring}{cited}."
        return
    what = {
        "full": "all weights were fine-tuned",
        "adapter": f"{adapter_in_words(recipe.adapter)} was trained inside the frozen encoder",
        "probe": "the encoder was frozen and a head was trained on its representations",
    }[recipe.adaptation]
    pooled = " and reads the mean over residues" if arm.task.problem.level.name == "protein" else ""
    if recipe.head.pooling != "mean":
        pooled = f" (pooling: {recipe.head.pooling})"
    swept = f" Its settings are the best on validation of {record.sweep.trials:,} trials." if record.sweep else ""
    rate = recipe.head_learning_rate or recipe.learning_rate
    steps = f"for at most {plural(recipe.epochs, 'epoch')} with a learning rate of {rate:g} and {recipe.batch_size} proteins a step"
    if recipe.head.solver == "ridge":
        steps = "in closed form (ridge), its penalty chosen on validation"
    yield f"In the recipe {record.identity.recipe.name} {what}{cited}; the head is {_head(recipe)}{pooled}. It was trained {steps}.{swept}"
    if record.training is not None and record.training.best_epoch is not None:
        yield "The epoch was chosen on validation."


def _head(recipe: object) -> str:
    head = getattr(recipe, "head")  # noqa: B009 - of any recipe
    if head.kind != "bench":
        return f"of the kind {head.kind}"
    return f"a layer of {head.hidden} units and a linear one" if head.hidden else "linear"


def _measured(arm: Arm, split: str) -> Iterator[str]:
    record = arm.record
    if split not in record.results:
        return
    metric, score = record.primary_metric, arm.score(split)
    seeds = f"{plural(len(arm.seeds), 'seed')} ({', '.join(map(str, arm.seeds))})"
    of = " of these weights" if arm.of_weights else ""
    told = interval(score.low, score.high)
    between = f", 95 % interval{of} {told}" if told else ""
    yield f"The test data were scored once, after everything was chosen; with {seeds}, {metric_title(metric)} on {split} was {number(score.value)}{between}."
    how = record.results[split].interval
    if how:
        seeds_too = ", and over seeds" if len(arm.seeds) > 1 else ""
        yield f"Intervals: {how}{seeds_too}."
