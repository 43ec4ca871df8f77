"""Do the intervals of the calibration error hold? Simulated models whose true error is known.

    python benchmarks/calibration.py

Proteins come in clusters that are right or wrong together. A model says probabilities that are right, or too sure by a
factor of its logits. The true error, in the same fifteen bins, is that of a million proteins. Printed: how often the lower
and the upper end of the 95 % interval are on their side of it, how often a plain percentile interval holds it, and how
often the error lies beyond the noise, which for a perfectly calibrated model should be in 5 of 100.
"""

from __future__ import annotations

import argparse

import numpy as np

from hubtools.evaluation.metrics.calibration_error import calibration, claims, expected_calibration_error
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.resampling import bootstrap_units, bootstrap_weights
from hubtools.specs.problem import Problem
from hubtools.specs.task import Task

CLUSTER = 4
# Spread of what is shared by the proteins of a cluster, in logits.
SHARED = 1.0

TASK = Task.model_validate(
    {
        "name": "simulated",
        "version": 1,
        "title": "Simulated",
        "problem": "sequence-classification",
        "summary": "Made up.",
        "data": {"source": "file", "files": [{"path": "x.csv"}], "split": {"fractions": {"train": 0.8, "test": 0.2}}},
        "labels": ["no", "yes"],
        "metrics": {"primary": "mcc", "positive": "yes"},
        "licence": "CC0-1.0",
        "citation": "none",
    }
)


def simulated(n: int, sharpness: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that a model says, and what happens: (n,) float and (n,) bool.

    What happens is a latent logistic variable below the logit, of which a part is shared by the cluster; each protein's
    own probability is the logistic function of its logit whatever the cluster shares.
    """
    logits = 2 * rng.normal(size=n)
    # Equal normal quantiles within a cluster make logistic draws that go together; each alone is uniform.
    from scipy.special import ndtr

    shared = np.repeat(rng.normal(size=n // CLUSTER), CLUSTER)
    uniform = ndtr((SHARED * shared + rng.normal(size=n)) / np.hypot(SHARED, 1))
    return 1 / (1 + np.exp(-sharpness * logits)), uniform < 1 / (1 + np.exp(-logits))


def percentile(predictions: Predictions, replicates: int) -> tuple[float, float]:
    """The plain percentile interval, for comparison."""
    units, n_units, _ = bootstrap_units(predictions)
    claimed, errors = claims(TASK, predictions), []
    for block in bootstrap_weights(n_units, replicates, 0):
        for weights in block:
            rows = np.repeat(np.arange(len(units)), weights[units])
            errors.append(expected_calibration_error(claimed.confidence[rows], claimed.outcome[rows]))
    low, high = np.quantile(errors, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--replicates", type=int, default=200)
    asked = parser.parse_args()
    print(
        "| proteins | too sure by | true error | lower end holds | upper end holds | percentile holds | beyond noise |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for n in (400, 2_000):
        for sharpness in (1.0, 1.2, 1.5, 2.0, 4.0):
            rng = np.random.default_rng([n, int(10 * sharpness)])
            true = 0.0 if sharpness == 1 else expected_calibration_error(*simulated(1_000_000, sharpness, rng))
            clusters, ids = np.arange(n) // CLUSTER, np.arange(n).astype(str)
            counts = np.zeros(4)
            for _ in range(asked.trials):
                said, so = simulated(n, sharpness, rng)
                predictions = Predictions(
                    Problem("sequence-classification"),
                    ids,
                    None,
                    clusters,
                    so.astype(int),
                    np.stack([1 - said, said], 1),
                )
                found = calibration(TASK, predictions, replicates=asked.replicates)
                assert found is not None and found.low is not None and found.high is not None
                assert found.noise is not None
                low, high = percentile(predictions, asked.replicates)
                counts += [found.low <= true, found.high >= true, low <= true <= high, found.ece > found.noise]
            shares = " | ".join(f"{share:.0%}" for share in counts / asked.trials)
            print(f"| {n:,} | {sharpness:g} | {true:.3f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
