"""Run the examples for real, draw what they did: ``python -m examples.make_pictures [NAME ...]``."""

import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from examples.record import draw

IMAGES = Path(__file__).resolve().parent / "images"
NAMES = (
    "warmup_cosine",
    "sgdr_cycles",
    "compare_schedules",
    "own_scheduler",
    "gan_manual",
    "finetune_groups",
    "transformer_warmup",
    "plateau_warmup",
)

if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in sys.argv[1:] or NAMES:
            draw(import_module(f"examples.{name}").main(), IMAGES / f"{name}.png")
            print(f"wrote {IMAGES / name}.png")
