"""Runs side by side: read back from MLflow, as a table, a picture, a page, and for machines."""

from lightning_lrsched.compare.colors import run_colors
from lightning_lrsched.compare.curves import Curve
from lightning_lrsched.compare.ends import best_end, completed_ends
from lightning_lrsched.compare.export import as_csv, as_json, means_csv
from lightning_lrsched.compare.goal import Goal, goal_for, mode_of
from lightning_lrsched.compare.means import Estimate, MeanRow, mean_rows
from lightning_lrsched.compare.plot import compare_figure
from lightning_lrsched.compare.rendering import means_table, rich_table
from lightning_lrsched.compare.report import report_page
from lightning_lrsched.compare.runs import RunRecord, Selection, load_runs
from lightning_lrsched.compare.store import CompareError, Store, default_uri, open_store
from lightning_lrsched.compare.table import Row, ranked, table_rows

__all__ = [
    "CompareError",
    "Curve",
    "Estimate",
    "Goal",
    "MeanRow",
    "Row",
    "RunRecord",
    "Selection",
    "Store",
    "as_csv",
    "as_json",
    "best_end",
    "compare_figure",
    "completed_ends",
    "default_uri",
    "goal_for",
    "load_runs",
    "mean_rows",
    "means_csv",
    "means_table",
    "mode_of",
    "open_store",
    "ranked",
    "report_page",
    "rich_table",
    "run_colors",
    "table_rows",
]
