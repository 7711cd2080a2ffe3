"""Run the examples for real, draw what they did: ``python -m examples.make_pictures [NAME ...]``."""

import os
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from examples.record import Record, draw
from examples.sgdr_paper import figure

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "examples" / "images"
NAMES = (
    "warmup_cosine",
    "sgdr_cycles",
    "compare_schedules",
    "own_scheduler",
    "gan_manual",
    "finetune_groups",
    "transformer_warmup",
    "plateau_warmup",
    "snapshot_ensemble",
)
PROGRAMS = ("cli", "ddp_torchrun", "tracking_server", "ray_train")
"""Examples that are programs of their own; their pictures are drawn from what MLflow got."""
RAY_PAGE = ROOT / "examples" / "ray_train.md"


def ran(name: str) -> dict[str, Record]:
    """Run a program in this folder, and return what MLflow got of it."""
    if name == "cli":
        started("-m", "examples.cli.main", "fit", "--config", str(ROOT / "examples" / "cli" / "config.yaml"))
        return {"SGDR": stored("sqlite:///mlflow.db", "cli")}
    if name == "ddp_torchrun":
        two = ("--standalone", "--nproc-per-node", "2")
        started("-m", "torch.distributed.run", *two, "-m", "examples.ddp_torchrun")
        return {"two processes": stored("sqlite:///ddp.db", "ddp")}
    if name == "ray_train":
        Path("ray_digits.py").write_text(ray_program(), encoding="utf-8")
        started("ray_digits.py")
        return {"two workers": stored("sqlite:///ray.db", "ray")}
    from tests.integration.browsing import mlflow_server

    with mlflow_server("sqlite:///server.db", Path("log")) as uri:
        started("-m", "examples.tracking_server", uri)
        return {"SGDR": stored(uri, "tracking-server")}


def ray_program() -> str:
    """Return the program that the page about Ray shows."""
    [code] = re.findall(r"^```python\n(.*?)^```", RAY_PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(code)


def started(*arguments: str) -> None:
    """Run Python on a program of its own."""
    subprocess.run([sys.executable, *arguments], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)


def stored(uri: str, experiment: str) -> Record:
    """Return the lr and the validation loss of the one run of an experiment."""
    from mlflow import MlflowClient

    client, record = MlflowClient(uri), Record()
    [run] = client.search_runs([each.experiment_id for each in client.search_experiments() if each.name == experiment])
    lr, scores = (client.get_metric_history(run.info.run_id, key) for key in ("lr/SGD/0", "val_loss"))
    record.lrs["group 0"] = sorted((point.step, point.value) for point in lr)
    record.scores = sorted((point.step, point.value) for point in scores)
    return record


def drawn_by_default() -> list[str]:
    """Return all that can be drawn here: Ray is no dependency."""
    names = [*NAMES, *PROGRAMS, "sgdr_paper"]
    if find_spec("ray") is None:
        names.remove("ray_train")
        print("ray is not installed: its picture stays as it is")
    return names


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in sys.argv[1:] or drawn_by_default():
            path = IMAGES / f"{name}.png"
            if name == "sgdr_paper":
                figure(epochs=200, steps_per_epoch=20).savefig(path, dpi=60)
            else:
                draw(ran(name) if name in PROGRAMS else import_module(f"examples.{name}").main(), path)
            print(f"wrote {path}")
