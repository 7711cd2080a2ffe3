"""Runs the study, or what is missing of it: trains by ``lrsched sweep``, keeps the figures, and writes the report."""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.sgdr_study.place import Place, published, tried
from benchmarks.sgdr_study.report import compare, write_report
from lightning_lrsched.cli import main as lrsched
from lightning_lrsched.configs import load_document
from lightning_lrsched.sweep import SweepConfig, load_sweep

CONFIGS = Path(__file__).parent / "configs"
EXPERIMENTS = ("a", "b", "c", "d", "d-pre")
PAPER, NARROW = "-paper", "-narrow"  # files more of an experiment: other lrs than the rule chooses
QUICK = CONFIGS / "quick.yaml"


def prepared(place: Place, name: str, changed: Mapping[str, Any]) -> Path:
    """Write the file of a sweep, changed, and return where."""
    document = {**load_document(CONFIGS / f"{name}.yaml"), **changed}
    document["folder"] = str(place.build / "checkpoints")
    place.build.mkdir(parents=True, exist_ok=True)
    path = place.build / f"study-{name}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def train(place: Place, path: Path) -> SweepConfig:
    """Train what a sweep lacks, and return the sweep."""
    print(f"== {path.stem} ({time.strftime('%H:%M:%S')})", flush=True)
    if failed := lrsched(["sweep", str(path), "--tracking-uri", place.store]):
        raise SystemExit(failed)
    return load_sweep(path)


def run(place: Place, name: str, changed: Mapping[str, Mapping[str, Any]]) -> None:
    """Train what is missing of an experiment, and keep its figures."""
    sweeps = {
        more: train(place, prepared(place, f"{name}{more}", changed.get(f"{name}{more}", {})))
        for more in ("", PAPER, NARROW)
        if (CONFIGS / f"{name}{more}.yaml").exists() and (not more or not changed or f"{name}{more}" in changed)
    }
    place.keep(f"study-{name}", sweeps[""], sweeps.get(PAPER))
    if NARROW in sweeps:
        place.keep(f"study-{name}{NARROW}", sweeps[NARROW], ends=False)


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
        for name in [each for each in EXPERIMENTS if each in (small or args.only)]:
            run(place, name, small)
        place.keep_floor()
        compare(place)
    write_report(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
