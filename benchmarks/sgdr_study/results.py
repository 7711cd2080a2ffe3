"""What a run of the study gave: its settings, its curves, where its cycles end. Kept as CSV files beside this one."""

import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SETTINGS = ("schedule", "warmup", "lr", "seed", "epoch_steps", "cycle_stops")
WARMED = " + warmup"
DECIMALS = {"test_error": 2, "val_loss": 4, "test_loss": 4}
"""The metrics that are kept, and their decimals; an error over 2,500 images is a multiple of 0.04%."""


@dataclass(frozen=True)
class Result:
    """A finished run.

    Args:
        schedule: its name in the study.
        warmup: length of its warmup, empty for none.
        lr: peak lr.
        seed: of everything random.
        epoch_steps: optimizer steps of an epoch.
        stops: epochs after which a cycle ends, from 1, to the first one beyond the run; empty for a schedule that
            does not restart.
        curves: values after each epoch, by metric.
    """

    schedule: str
    warmup: str
    lr: float
    seed: int
    epoch_steps: int
    stops: tuple[int, ...]
    curves: dict[str, tuple[float, ...]]

    @property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return len(self.curves["val_loss"])

    @property
    def ends(self) -> tuple[int, ...]:
        """Epochs after which a cycle was complete."""
        return tuple(stop for stop in self.stops if stop <= self.epochs)

    def recommended(self, epoch: int) -> int:
        """Return the epoch whose weights the SGDR paper recommends after ``epoch`` epochs.

        Before the first restart the present ones, afterwards those at the end of the last complete cycle.
        """
        return max((end for end in self.ends if end <= epoch), default=epoch)

    def anytime(self, metric: str) -> list[float]:
        """Return the metric of the recommended model after each epoch."""
        return [self.value(metric, epoch) for epoch in range(1, self.epochs + 1)]

    def value(self, metric: str, epoch: int | None = None) -> float:
        """Return a metric of the recommended model after some epochs, at the end by default."""
        return self.curves[metric][self.recommended(epoch or self.epochs) - 1]


@dataclass(frozen=True)
class Members:
    """What the last cycle ends of one run are worth together: test errors in percent.

    Args:
        schedule: its name in the study.
        seed: of the run.
        count: how many ends.
        last: of the last end alone.
        ensemble: of the averaged predictions.
        control: of the last end with its batch-norm statistics measured anew.
        average: of the averaged weights, whose batch-norm statistics were measured in the same way.
    """

    schedule: str
    seed: int
    count: int
    last: float
    ensemble: float
    control: float
    average: float


Runs = dict[str, list[Result]]
"""The runs of each schedule, by seed."""


def by_schedule(results: Iterable[Result]) -> Runs:
    """Return the runs of each schedule, by seed; only seeds that every schedule has."""
    found: dict[str, dict[int, Result]] = defaultdict(dict)
    for each in results:
        found[each.schedule][each.seed] = each
    seeds = set.intersection(*(set(runs) for runs in found.values())) if found else set()
    return {name: [runs[seed] for seed in sorted(seeds)] for name, runs in found.items()}


def lowest(results: Sequence[Result]) -> dict[str, float]:
    """Return the lr of each schedule with the lowest validation loss of the recommended model at the end.

    With several seeds the mean over them counts.
    """
    losses: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in results:
        loss = one.value("val_loss")
        losses[one.schedule][one.lr].append(math.inf if math.isnan(loss) else loss)
    return {name: min(by_lr, key=lambda lr: statistics.fmean(by_lr[lr])) for name, by_lr in losses.items()}


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write one line for each run and metric; the values are in one field, an epoch apart."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*SETTINGS, "metric", "values"])
        for each in results:
            stops = " ".join(map(str, each.stops))
            for metric, curve in each.curves.items():
                values = " ".join(f"{value:.{DECIMALS[metric]}f}" for value in curve)
                line = [each.schedule, each.warmup, f"{each.lr:g}", each.seed, each.epoch_steps, stops]
                writer.writerow([*line, metric, values])


def read_results(path: Path) -> list[Result]:
    """Return the runs of a file, in its order; none if there is no such file."""
    curves: dict[tuple[str, ...], dict[str, tuple[float, ...]]] = defaultdict(dict)
    for row in _rows(path):
        settings = tuple(row[name] for name in SETTINGS)
        curves[settings][row["metric"]] = tuple(map(float, row["values"].split()))
    return [
        Result(schedule, warmup, float(lr), int(seed), int(steps), tuple(map(int, stops.split())), found)
        for (schedule, warmup, lr, seed, steps, stops), found in curves.items()
    ]


def write_members(path: Path, members: Sequence[Members]) -> None:
    """Write one line for each run and number of cycle ends."""
    names = list(Members.__dataclass_fields__)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for each in members:
            values = [getattr(each, name) for name in names]
            writer.writerow([f"{value:.2f}" if isinstance(value, float) else value for value in values])


def read_members(path: Path) -> list[Members]:
    """Return what a file says of cycle ends; nothing if there is no such file."""
    return [
        Members(
            row["schedule"],
            int(row["seed"]),
            int(row["count"]),
            *(float(row[name]) for name in ("last", "ensemble", "control", "average")),
        )
        for row in _rows(path)
    ]


def _rows(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
