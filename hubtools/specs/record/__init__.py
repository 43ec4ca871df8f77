"""The run record: what names a run, what is known of it, and all of it together.

``identities`` (what determines a result), ``run_facts`` (everything else that is recorded), ``run_record`` (``run.json``).
"""

from hubtools.specs.record.identities import (
    PROTOCOL_VERSION,
    CheckpointIdentity,
    Identity,
    Line,
    RecipeIdentity,
    TaskIdentity,
)
from hubtools.specs.record.run_facts import (
    AlignmentFacts,
    Attempt,
    Calibration,
    CheckpointFacts,
    Cost,
    DataFacts,
    EmbeddingFacts,
    Energy,
    Environment,
    Failure,
    OutputFile,
    Score,
    SourceFile,
    SplitFacts,
    SplitOverlap,
    SplitResult,
    Stratum,
    SweepFacts,
    TokenFacts,
    TrainingFacts,
    WindowFacts,
)
from hubtools.specs.record.run_record import SCHEMA_VERSION, RunRecord

__all__ = [
    "PROTOCOL_VERSION",
    "SCHEMA_VERSION",
    "AlignmentFacts",
    "Attempt",
    "Calibration",
    "CheckpointFacts",
    "CheckpointIdentity",
    "Cost",
    "DataFacts",
    "EmbeddingFacts",
    "Energy",
    "Environment",
    "Failure",
    "Identity",
    "Line",
    "OutputFile",
    "RecipeIdentity",
    "RunRecord",
    "Score",
    "SourceFile",
    "SplitFacts",
    "SplitOverlap",
    "SplitResult",
    "Stratum",
    "SweepFacts",
    "TaskIdentity",
    "TokenFacts",
    "TrainingFacts",
    "WindowFacts",
]
