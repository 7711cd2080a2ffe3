"""A LightningCLI whose schedule, checkpoints and tracking are written in YAML.

Run ``python -m examples.cli.main fit --config examples/cli/config.yaml``. To see what there is:
``... fit --trainer.callbacks.help=LearningRateScheduler``; a whole file with comments:
``... fit --config examples/cli/config.yaml --print_config=comments``.
"""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from examples.digits import Digits, DigitsData
from lightning_lrsched.lightning_cli import ScheduleCLI

if __name__ == "__main__":
    ScheduleCLI(Digits, DigitsData, seed_everything_default=0)
