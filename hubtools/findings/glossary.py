"""What the words of bench mean, for somebody who meets them for the first time: one place, which commands and pages read.

Metrics explain themselves (``hubtools.specs.metric_names``); recipes, tasks and suites have a summary of their own.
"""

from __future__ import annotations

from hubtools.common.errors import UserError, near
from hubtools.common.readers import reads
from hubtools.specs.metric_names import METRICS

GLOSSARY = {
    "aligned": "Each residue of a protein has a token of the model that is known to be its own. bench proves it for every run: only then do labels, and means over residues, belong to the right letters.",
    "arm": "The runs of one model under one recipe on one task, which differ in their seed alone. Two arms are what is compared.",
    "audit": "A close look at what a task's splits share: copies and relatives between train and test. bench tasks audit TASK.",
    "baseline": "Something trivial that a model has to beat before its score means anything: the most frequent answer, counting amino acids, the most similar training protein. Also: runs that later ones are held to (bench check).",
    "best set": "The rows of a board among which the truly best one is, with 95 % confidence. Rows in it are not told apart by these data.",
    "board": "A table of the results of many runs, with intervals and ranks, made of their records: bench board.",
    "bootstrap": "How intervals are found: the test proteins are drawn again a thousand times, with replacement, and scored each time.",
    "calibration": "Whether probabilities mean what they say: of answers given with 80 %, 80 % should be right.",
    "candidate": "What is compared with a baseline, and judged.",
    "cannot tell": "A verdict: the data leave both possible, a loss that counts and no loss. More test proteins, or more seeds, would tell.",
    "card": "The page that is published with a model: what was measured, on what, how, and how to use it.",
    "checkpoint": "A pre-trained protein language model, as its authors published it: a name on the Hub or a folder.",
    "cluster": "Proteins that are relatives of each other by their sequences. A drawn split keeps a cluster on one side, so that a test protein has no near copy in training; intervals draw whole clusters, for relatives are not independent.",
    "composition": "A baseline that only counts how often each amino acid occurs in a protein. What it reaches needs no language model.",
    "embedding": "The numbers that a model computes for a residue, or their mean over a protein.",
    "fold": "In cross-validation: the rows that one of the models never sees, and alone predicts.",
    "fraction": "A share of the training data, to see how a score grows with them: bench curve.",
    "frozen": "Of a task: its data are pinned by a checksum, so that everybody scores the same rows.",
    "full": "A recipe that trains all weights of the model together with the head. Slower than a probe, and usually better.",
    "head": "The small layer on top of the model that turns embeddings into answers.",
    "interval": "Where the true score lies with 95 % confidence, given that few proteins were tested. Wide means: too few to tell.",
    "leakage": "Test proteins, or near relatives of them, in what a model learnt from. A score then measures memory.",
    "majority": "A baseline that always gives the most frequent answer (of values, their mean).",
    "margin": "The loss that counts: a difference smaller than that does not matter to who asks. Each task states one, in units of its metric.",
    "metric": "The number that says how good predictions are. The primary one of a task ranks; the others are shown beside it.",
    "nearest-neighbour": "A baseline that copies the label of the training protein whose sequence is most similar.",
    "onehot-window": "A baseline for residues that sees only the letters nearby.",
    "pae": "Predicted aligned error: how far off, in Å, a folding model expects residue j to be where residue i is laid onto the truth. Low between two domains: it is sure how they lie to each other.",
    "plddt": "A folding model's confidence in the surroundings of a residue, 0 to 100: the lDDT that it expects. From 90 on high, from 70 on a good backbone, below 50 often a stretch that has no fixed structure.",
    "power": "How small a difference a test set of this size could show at all.",
    "probe": "A recipe that leaves the model as it is and fits a linear layer on its embeddings. Minutes on a laptop.",
    "ptm": "Predicted TM-score: how sure a folding model is of the fold as a whole, 0 to 1.",
    "recipe": "How a model is adapted and trained, such as probe, full or lora: bench recipes list.",
    "record": "run.json of a run: everything that determines its result, and the result.",
    "run": "One model, one task, one recipe, one seed: a folder with a record, predictions and the trained model.",
    "seed": "A number that fixes what is random in training. Several seeds show how much a score depends on luck.",
    "selector": "Some runs of a place: runs:recipe=probe,task=location.",
    "split": "The parts of the data: train to learn from, validation to choose by, test to score once at the end.",
    "stratified": "Drawn so that each split has each label in its share.",
    "subset": "At most so many proteins of each split, for a quick try. Such runs are kept apart on boards.",
    "suite": "Several tasks, a recipe, seeds and baselines in one file: bench run --suite core.",
    "task": "What to predict from a protein, on which data and splits, scored how: one YAML file.",
    "trial": "One try of a sweep, judged on validation alone.",
    "trust": "How far a task's test score can be trusted: green means that a held-out score means what it says, amber with a reservation, red not for ranking.",
    "verdict": "What a comparison comes to: better, no loss beyond the margin, worse within the margin, worse, or cannot tell.",
}
# Other words for the same.
_SAME = {
    "semaphore": "trust", "alignment": "aligned", "clusters": "cluster", "confidence interval": "interval", "ci": "interval",
    "matthews": "mcc", "rho": "spearman", "auc": "auroc", "average precision": "auprc", "linear probe": "probe",
    "nearest": "nearest-neighbour", "frequency": "composition", "homology": "cluster", "holdout": "split", "finetune": "full",
}  # fmt: skip


def metric_means(name: str) -> str:
    """What a metric of this name says; empty where nothing is known of it."""
    found = METRICS.get(name)
    return found.means if found else ""


@reads("word to be explained")
def explained(word: str) -> tuple[str, str]:
    """A word as bench writes it, and what it means.

    Raises:
        UserError: nobody knows it; names the nearest.
    """
    key = " ".join(word.lower().split())
    key = _SAME.get(key, key)
    titles = {METRICS[name].title.lower(): name for name in METRICS}
    metric = titles.get(key, key.replace(" ", "_").replace("-", "_"))
    if metric in METRICS and (means := metric_means(metric)):
        return METRICS[metric].title, means
    for form in (key, key.removesuffix("s"), key.replace("_", "-")):
        if form in GLOSSARY:
            return form, GLOSSARY[form]
    raise UserError(f"nothing is said of {word!r}", where="bench explain", fix=near(key, words()))


def words() -> list[str]:
    """All words that are explained, in alphabetical order."""
    return sorted({*GLOSSARY, *(name for name in METRICS if METRICS[name].means and not METRICS[name].level)})
