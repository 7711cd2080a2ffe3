"""Runs side by side: read back from MLflow, as a table and as a picture."""

from lightning_lrsched.compare.colors import run_colors
from lightning_lrsched.compare.goal import Goal, goal_for, mode_of
from lightning_lrsched.compare.plot import compare_figure
from lightning_lrsched.compare.rendering import rich_table
from lightning_lrsched.compare.runs import Curve, RunRecord, load_runs
from lightning_lrsched.compare.store import CompareError, Store, default_uri, masked, open_store
from lightning_lrsched.compare.table import Row, ranked, table_rows

__all__ = [
    "CompareError",
    "Curve",
    "Goal",
    "Row",
    "RunRecord",
    "Store",
    "compare_figure",
    "default_uri",
    "goal_for",
    "load_runs",
    "masked",
    "mode_of",
    "open_store",
    "ranked",
    "rich_table",
    "run_colors",
    "table_rows",
]
