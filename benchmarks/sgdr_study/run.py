"""Runs the study, or what is missing of it: chooses each schedule's lr, trains, and writes the report.

One rule chooses the lr of each schedule from the same grid: the lowest validation loss of the recommended model at the
end of the budget, with a seed that is not reported. The test data has no part in it.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.sgdr_study.place import Place, published, tried
from benchmarks.sgdr_study.report import write_report
from lightning_lrsched.cli import main as lrsched
from lightning_lrsched.configs import load_document

CONFIGS = Path(__file__).parent / "configs"
EXPERIMENTS = ("b", "d", "d-pre", "c")
CHOOSING_SEEDS = [100]
CHOSEN = ("b", "c")  # experiments whose lrs are chosen; the others report their whole grid
BY_SCHEDULE = ("schedules", "warmups", "lrs", "callbacks")
CPU = "cpu"
QUICK: dict[str, dict[str, Any]] = {
    "b": {"trainer": {"max_epochs": 8, "accelerator": CPU}, "seeds": [0, 1]},
    "d": {
        "trainer": {"max_epochs": 1, "accelerator": CPU},
        "warmups": [None, "10 steps"],
        "seeds": [0, 1],
        "lrs": [0.003],
    },
}
QUICK_SCHEDULES = ["constant", "SGDR T_0=1 x2", "cosine + warmup", "linear"]


def prepared(place: Place, name: str, changed: Mapping[str, Any], schedules: Sequence[str] | None) -> Path:
    """Write the file of a sweep, changed and with some of its schedules alone, and return where."""
    document = {**load_document(CONFIGS / f"{name}.yaml"), **changed}
    document["folder"] = str(place.build / "checkpoints")
    for key in BY_SCHEDULE if schedules else ():
        if isinstance(document.get(key), dict):
            document[key] = {each: value for each, value in document[key].items() if each in (schedules or ())}
    place.build.mkdir(parents=True, exist_ok=True)
    path = place.build / f"{document['experiment']}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def train(place: Place, path: Path) -> None:
    """Train what a sweep lacks."""
    print(f"== {path.stem} ({time.strftime('%H:%M:%S')})", flush=True)
    if lrsched(["sweep", str(path), "--tracking-uri", place.store]):
        raise SystemExit(f"{path} failed; the lines above say why")


def chosen(place: Place, experiment: str) -> dict[str, float]:
    """Return the lr of each schedule, from the finished runs of a grid."""
    losses: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in place.read(experiment):
        losses[result.combination.schedule][result.combination.lr or 0.0].append(result.value("val_loss"))
    return {schedule: min(by_lr, key=lambda lr: statistics.fmean(by_lr[lr])) for schedule, by_lr in losses.items()}


def run(place: Place, name: str, changed: Mapping[str, Any], schedules: Sequence[str] | None) -> None:
    """Train what is missing of an experiment."""
    lrs = {}
    if name in CHOSEN:
        experiment = f"study-{name}-choose"
        grid = {**changed, "experiment": experiment, "seeds": CHOOSING_SEEDS, "callbacks": []}
        train(place, prepared(place, name, grid, schedules))
        lrs = {"lrs": {schedule: [lr] for schedule, lr in chosen(place, experiment).items()}}
    train(place, prepared(place, name, {**changed, **lrs}, schedules))


def main() -> int:
    """Train what is missing, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=EXPERIMENTS, default=EXPERIMENTS, help="experiments to train")
    parser.add_argument("--schedules", nargs="+", metavar="NAME", help="only these of an experiment")
    parser.add_argument("--quick", type=Path, metavar="DIR", help="try the machinery on small budgets, in a folder")
    args = parser.parse_args()
    place = tried(args.quick) if args.quick else published()
    for name in QUICK if args.quick else args.only:
        run(place, name, QUICK[name] if args.quick else {}, QUICK_SCHEDULES if args.quick else args.schedules)
    write_report(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
