"""Runs the study, or what is missing of it: chooses each schedule's lr, trains, and writes the report.

One rule chooses the lr of each schedule from the same grid: the lowest validation loss of the recommended model at the
end of the budget, with a seed that is not reported. The test data has no part in it.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.sgdr_study.place import Place, published, tried
from benchmarks.sgdr_study.report import compare, write_report
from benchmarks.sgdr_study.results import lowest
from lightning_lrsched.cli import main as lrsched
from lightning_lrsched.configs import load_document

CONFIGS = Path(__file__).parent / "configs"
EXPERIMENTS = ("a", "b", "c", "d", "d-pre")
CHOOSING = {"seeds": [100], "callbacks": []}
CHOSEN = ("a", "b", "c")  # experiments whose lrs are chosen; the others report their whole grid
PAPER_RATES = {"b": {"step": (0.05, 0.1)}}  # at which the paper shows its step schedule, whatever the rule chooses
QUICK = CONFIGS / "quick.yaml"


def prepared(place: Place, name: str, changed: Mapping[str, Any]) -> Path:
    """Write the file of a sweep, changed, and return where."""
    document = {**load_document(CONFIGS / f"{name}.yaml"), **changed}
    document["folder"] = str(place.build / "checkpoints")
    place.build.mkdir(parents=True, exist_ok=True)
    path = place.build / f"{document['experiment']}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def train(place: Place, path: Path) -> None:
    """Train what a sweep lacks."""
    print(f"== {path.stem} ({time.strftime('%H:%M:%S')})", flush=True)
    if failed := lrsched(["sweep", str(path), "--tracking-uri", place.store]):
        raise SystemExit(failed)


def run(place: Place, name: str, changed: Mapping[str, Any]) -> None:
    """Train what is missing of an experiment, and keep its figures."""
    lrs, chosen = {}, None
    if name in CHOSEN:
        experiment = f"study-{name}-choose"
        train(place, prepared(place, name, {**changed, "experiment": experiment, **CHOOSING}))
        chosen = lowest(place.trained(experiment))
        place.keep_grid(experiment)
        paper = PAPER_RATES.get(name, {})
        lrs = {"lrs": {schedule: sorted({lr, *paper.get(schedule, ())}) for schedule, lr in chosen.items()}}
    train(place, prepared(place, name, {**changed, **lrs}))
    place.keep(f"study-{name}", chosen)


def main() -> int:
    """Train what is missing, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=EXPERIMENTS, help="experiments to train")
    what.add_argument("--quick", type=Path, metavar="DIR", help="try the machinery on small budgets, in a folder")
    what.add_argument("--report", action="store_true", help="train nothing; write the page from the kept figures")
    args = parser.parse_args()
    place = tried(args.quick) if args.quick else published()
    if not args.report:
        small = load_document(QUICK) if args.quick else {}
        for name in small or args.only:
            run(place, name, small.get(name, {}))
        place.keep_floor()
        compare(place)
    write_report(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
