"""Fits in forked children, each killed at another moment; what lies in the folder is looked at after each kill."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import torch

from lightning_lrsched import CycleCheckpoint
from tests.callbacks.models import Tiny, loader, make_trainer


class Heavy(Tiny):
    """Has weights that take a while to write, all equal to the steps taken."""

    def __init__(self) -> None:
        super().__init__()
        self.block = torch.nn.Parameter(torch.zeros(200_000), requires_grad=False)

    def on_before_zero_grad(self, *_: Any) -> None:
        with torch.no_grad():
            self.block.fill_(float(self.trainer.global_step))


def fit(folder: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", dirpath=folder, every=2)
    make_trainer(folder.parent, checkpoint, max_epochs=50, val_check_interval=1).fit(Heavy(), loader(10))


def look(folder: Path) -> dict[str, Any]:
    """Read every checkpoint that has a final name, and the list."""
    names = sorted(path.name for path in folder.glob("*.ckpt"))
    for name in names:
        block = torch.load(folder / name, weights_only=True)["state_dict"]["block"]
        assert len(block) == 200_000
        assert (block == block[0]).all()
    lists = [json.loads(path.read_text()) for path in folder.glob("cycles*.json")]
    listed = {
        entry["file"] for content in lists for row in content["cycles"] for entry in (row["best"], row["end"]) if entry
    }
    files = {name for content in lists for name in content["files"]}
    return {"names": names, "unknown": sorted(set(names) - files), "missing": sorted(listed - set(names))}


def main(folder: Path, kills: int) -> None:
    draw, seen = Random(0), []
    for kill in range(kills):
        child = os.fork()
        if child == 0:
            fit(folder / str(kill) / "cycles")
            os._exit(0)
        deadline = time.monotonic() + 20
        while not list((folder / str(kill)).glob("cycles/*.ckpt*")) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.4))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        seen.append(look(folder / str(kill) / "cycles"))
    (folder / "seen.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
