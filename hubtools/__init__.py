"""bench: standardised fine-tuning and evaluation of protein language models.

    import hubtools

    done = hubtools.run("facebook/esm2_t6_8M_UR50D", "localisation", "probe", seeds=[1, 2, 3])
    hubtools.board("runs")

Rooms, in the order that data flows: ``common``, ``specs``, ``data``, ``models``, ``evaluation``, ``training``, ``runs``,
``findings``, ``reporting``, ``publishing``, ``inference``, ``exporting``, then ``api``, which is what this module gives, and ``cli`` on top.
A room imports only from rooms before it in this list (a test holds them to it).
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from hubtools.common.version import __version__

if TYPE_CHECKING:
    from hubtools.api.boards import RunBoard, board
    from hubtools.api.comparing import RunCheck, RunComparison, check, compare
    from hubtools.api.computing import ExecutionOptions
    from hubtools.api.documents import LearningCurves, WrittenCard, cite, curves, methods, write_cards
    from hubtools.api.estimating import RunEstimates, estimate
    from hubtools.api.found_runs import RunResults, results
    from hubtools.api.freezing import PlannedBaseline, PlannedUpdate, baseline_named, plan_baseline, plan_update
    from hubtools.api.listings import SpecList, load_recipe, load_suite, load_task, recipes, suites, tasks
    from hubtools.api.plans import RunPlan, plan
    from hubtools.api.predicting import ProteinTable, open_model, predict
    from hubtools.api.proteins.embedding_proteins import ProteinEmbeddings, embed
    from hubtools.api.proteins.folding_proteins import FoldedProteins, fold
    from hubtools.api.proteins.scanning_proteins import SubstitutionScan, scan
    from hubtools.api.proteins.viewing_structures import ViewedStructures, view
    from hubtools.api.releasing import RunPublication, SuitePublication, publish, publish_suite
    from hubtools.api.reproducing import MadeAgain, PlannedAgain, plan_again, reproduce
    from hubtools.api.running import FinishedRuns, RunEvent, run, run_plan
    from hubtools.api.stored.data_files import (
        FetchedData,
        FrozenData,
        KeptData,
        fetch_data,
        freeze_data,
        kept_data,
        remove_data,
    )
    from hubtools.api.stored.embeddings_kept import EmbeddingList, kept_embeddings, remove_embeddings
    from hubtools.api.stored.onnx_exports import ExportedModel, export, static_page
    from hubtools.api.stored.removals import RemovedFiles
    from hubtools.api.stored.run_merges import MergedRuns, merge
    from hubtools.api.stored.run_status import RunsStatus, status
    from hubtools.api.stored.whole_models import WholeModel, materialise
    from hubtools.api.submitting import check_submissions, hand_in
    from hubtools.api.sweeping import SweptRuns, sweep
    from hubtools.api.tasks.task_audits import AuditedTask, audit, audit_all
    from hubtools.api.tasks.task_checks import CheckedTask, check_task
    from hubtools.api.tasks.task_contents import TaskContents
    from hubtools.api.tasks.task_description import TaskDescription, describe_task
    from hubtools.api.tasks.task_proposals import ProposedTask, new_task
    from hubtools.api.tasks.task_questions import TaskGuess, TaskQuestion
    from hubtools.common.errors import UserError

# Name -> the module that has it, which is imported when it is asked for.
_WHERE = {
    name: module
    for module, names in {
        "hubtools.api.boards": ("RunBoard", "board"),
        "hubtools.api.comparing": ("RunCheck", "RunComparison", "check", "compare"),
        "hubtools.api.computing": ("ExecutionOptions",),
        "hubtools.api.documents": ("LearningCurves", "WrittenCard", "cite", "curves", "methods", "write_cards"),
        "hubtools.api.estimating": ("RunEstimates", "estimate"),
        "hubtools.api.found_runs": ("RunResults", "results"),
        "hubtools.api.freezing": (
            "PlannedBaseline",
            "PlannedUpdate",
            "baseline_named",
            "plan_baseline",
            "plan_update",
        ),
        "hubtools.api.listings": ("SpecList", "load_recipe", "load_suite", "load_task", "recipes", "suites", "tasks"),
        "hubtools.api.plans": ("RunPlan", "plan"),
        "hubtools.api.predicting": ("ProteinTable", "open_model", "predict"),
        "hubtools.api.proteins.embedding_proteins": ("ProteinEmbeddings", "embed"),
        "hubtools.api.proteins.folding_proteins": ("FoldedProteins", "fold"),
        "hubtools.api.proteins.scanning_proteins": ("SubstitutionScan", "scan"),
        "hubtools.api.proteins.viewing_structures": ("ViewedStructures", "view"),
        "hubtools.api.releasing": ("RunPublication", "SuitePublication", "publish", "publish_suite"),
        "hubtools.api.reproducing": ("MadeAgain", "PlannedAgain", "plan_again", "reproduce"),
        "hubtools.api.running": ("FinishedRuns", "RunEvent", "run", "run_plan"),
        "hubtools.api.stored.data_files": (
            "FetchedData",
            "FrozenData",
            "KeptData",
            "fetch_data",
            "freeze_data",
            "kept_data",
            "remove_data",
        ),
        "hubtools.api.stored.embeddings_kept": ("EmbeddingList", "kept_embeddings", "remove_embeddings"),
        "hubtools.api.stored.onnx_exports": ("ExportedModel", "export", "static_page"),
        "hubtools.api.stored.removals": ("RemovedFiles",),
        "hubtools.api.stored.run_merges": ("MergedRuns", "merge"),
        "hubtools.api.stored.run_status": ("RunsStatus", "status"),
        "hubtools.api.stored.whole_models": ("WholeModel", "materialise"),
        "hubtools.api.submitting": ("check_submissions", "hand_in"),
        "hubtools.api.sweeping": ("SweptRuns", "sweep"),
        "hubtools.api.tasks.task_audits": ("AuditedTask", "audit", "audit_all"),
        "hubtools.api.tasks.task_checks": ("CheckedTask", "check_task"),
        "hubtools.api.tasks.task_contents": ("TaskContents",),
        "hubtools.api.tasks.task_description": ("TaskDescription", "describe_task"),
        "hubtools.api.tasks.task_proposals": ("ProposedTask", "new_task"),
        "hubtools.api.tasks.task_questions": ("TaskGuess", "TaskQuestion"),
        "hubtools.common.errors": ("UserError",),
    }.items()
    for name in names
}

__all__ = [
    "AuditedTask",
    "CheckedTask",
    "EmbeddingList",
    "ExecutionOptions",
    "ExportedModel",
    "FetchedData",
    "FinishedRuns",
    "FoldedProteins",
    "FrozenData",
    "KeptData",
    "LearningCurves",
    "MadeAgain",
    "MergedRuns",
    "PlannedAgain",
    "PlannedBaseline",
    "PlannedUpdate",
    "ProposedTask",
    "ProteinEmbeddings",
    "ProteinTable",
    "RemovedFiles",
    "RunBoard",
    "RunCheck",
    "RunComparison",
    "RunEstimates",
    "RunEvent",
    "RunPlan",
    "RunPublication",
    "RunResults",
    "RunsStatus",
    "SpecList",
    "SubstitutionScan",
    "SuitePublication",
    "SweptRuns",
    "TaskContents",
    "TaskDescription",
    "TaskGuess",
    "TaskQuestion",
    "UserError",
    "ViewedStructures",
    "WholeModel",
    "WrittenCard",
    "__version__",
    "audit",
    "audit_all",
    "baseline_named",
    "board",
    "check",
    "check_submissions",
    "check_task",
    "cite",
    "compare",
    "curves",
    "describe_task",
    "embed",
    "estimate",
    "export",
    "fetch_data",
    "fold",
    "freeze_data",
    "hand_in",
    "kept_data",
    "kept_embeddings",
    "load_recipe",
    "load_suite",
    "load_task",
    "materialise",
    "merge",
    "methods",
    "new_task",
    "open_model",
    "plan",
    "plan_again",
    "plan_baseline",
    "plan_update",
    "predict",
    "publish",
    "publish_suite",
    "recipes",
    "remove_data",
    "remove_embeddings",
    "reproduce",
    "results",
    "run",
    "run_plan",
    "scan",
    "static_page",
    "status",
    "suites",
    "sweep",
    "tasks",
    "view",
    "write_cards",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'hubtools' has no attribute {name!r}")
    found = getattr(importlib.import_module(_WHERE[name]), name)
    setattr(sys.modules[__name__], name, found)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
