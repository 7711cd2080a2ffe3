"""Lightning callbacks: the shell around the pure schedules."""

from lightning_lrsched.callbacks.cycle_checkpoint import CycleBest, CycleCheckpoint
from lightning_lrsched.callbacks.learning_rate_scheduler import LearningRateScheduler
from lightning_lrsched.callbacks.mlflow_tracker import MLflowTracker
from lightning_lrsched.callbacks.schedule_progress import ScheduleProgress

__all__ = ["CycleBest", "CycleCheckpoint", "LearningRateScheduler", "MLflowTracker", "ScheduleProgress"]
