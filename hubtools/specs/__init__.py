"""What a task, a recipe, a suite and a run record are. No torch, no data."""

from hubtools.specs.errors import UserError
from hubtools.specs.loading import load_recipe, load_suite, load_task
from hubtools.specs.problem import Problem
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import RunRecord
from hubtools.specs.suite import Suite
from hubtools.specs.task import Task

__all__ = ["Problem", "Recipe", "RunRecord", "Suite", "Task", "UserError", "load_recipe", "load_suite", "load_task"]
