"""Lightning callbacks: the shell around the pure schedules."""

from lightning_lrsched.callbacks.cycle_checkpoint import CycleCheckpoint
from lightning_lrsched.callbacks.cycles.ledger import Kept, KeptCycle
from lightning_lrsched.callbacks.learning_rate_scheduler import LearningRateScheduler
from lightning_lrsched.callbacks.mlflow_tracker import MLflowTracker
from lightning_lrsched.callbacks.schedule_progress import ScheduleProgress

__all__ = ["CycleCheckpoint", "Kept", "KeptCycle", "LearningRateScheduler", "MLflowTracker", "ScheduleProgress"]
