"""Where the study keeps its runs and its figures, and where its report goes."""

import csv
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.sgdr_study.harvest import harvest, harvest_candidates, measured
from benchmarks.sgdr_study.results import Members, Result, read_members, read_results, write_members, write_results
from benchmarks.sgdr_study.text import Topics
from lightning_lrsched.sweep import SweepConfig

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "study.md"


@dataclass(frozen=True)
class Place:
    """The folders of one study.

    Args:
        build: runs, checkpoints and the sweeps' files.
        figures: what the runs gave, as CSV files: all that the report is made of.
        page: the page whose tables are written.
        images: folder of the pictures.
    """

    build: Path
    figures: Path
    page: Path
    images: Path

    @property
    def store(self) -> str:
        """The tracking URI of the runs."""
        return f"sqlite:///{(self.build / 'mlflow.db').absolute()}"

    def read(self, experiment: str) -> list[Result]:
        """Return the runs of an experiment, from its file of figures; none if there is none."""
        return read_results(self.figures / f"{experiment}.csv")

    def members(self, experiment: str) -> list[Members]:
        """Return what the cycle ends of each run are worth together, from the file of figures."""
        return read_members(self.figures / f"{experiment}-ends.csv")

    def floor(self) -> float:
        """Return the nats of experiment D's test text for a model that knows only how frequent each character is."""
        with (self.figures / "floor.csv").open(encoding="utf-8", newline="") as file:
            return float(next(csv.DictReader(file))["nats"])

    def keep(self, name: str, config: SweepConfig, others: SweepConfig | None = None, *, ends: bool = True) -> None:
        """Write the files of figures of an experiment: its runs, those that chose the lrs, and what cycle ends give.

        Args:
            name: of the files.
            config: the sweep.
            others: a sweep of the same with other lrs, each of which gets the lr into its name.
            ends: whether cycle ends are put together.
        """
        self.figures.mkdir(parents=True, exist_ok=True)
        found, tried = harvest(config, self.store), harvest_candidates(config, self.store)
        known = {each.fingerprint for each in found}
        for each in [] if others is None else harvest(others, self.store):
            if each.fingerprint not in known:
                one = each.result
                found.append(replace(each, result=replace(one, schedule=f"{one.schedule}, lr {one.lr:g}")))
        write_results(self.figures / f"{name}.csv", [each.result for each in found])
        if tried:
            losses = [replace(each.result, curves={"val_loss": each.result.curves["val_loss"]}) for each in tried]
            write_results(self.figures / f"{name}-select.csv", losses)
        if ends and (together := measured(found)):
            write_members(self.figures / f"{name}-ends.csv", together)
        self._keep_time(name, [each.seconds for each in (*tried, *found)])

    def times(self) -> dict[str, tuple[int, float, float]]:
        """Return how many runs each experiment took, and their seconds: of all together, and of the shortest."""
        path = self.figures / "times.csv"
        if not path.exists():
            return {}
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {row["experiment"]: (int(row["runs"]), float(row["seconds"]), float(row["shortest"])) for row in rows}

    def _keep_time(self, name: str, seconds: Sequence[float]) -> None:
        """Write how long the runs of an experiment took, by their own clocks."""
        times = self.times() | {name: (len(seconds), sum(seconds), min(seconds))}
        lines = [f"{key},{runs},{total:.0f},{least:.1f}" for key, (runs, total, least) in sorted(times.items())]
        text = "\n".join(["experiment,runs,seconds,shortest", *lines]) + "\n"
        (self.figures / "times.csv").write_text(text, encoding="utf-8")

    def keep_floor(self) -> None:
        """Write the unigram floor, which depends on the text that this Python brings with it."""
        nats = Topics(context=48).unigram_floor()
        lines = ["python,nats", f"{platform.python_version()},{nats:.4f}"]
        (self.figures / "floor.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def published() -> Place:
    """Return the place of the study that the docs publish."""
    return Place(Path("build/study"), HERE / "results", PAGE, PAGE.parent / "images")


def tried(build: Path) -> Place:
    """Return a place that touches nothing else: the page is a copy, beside the runs."""
    build.mkdir(parents=True, exist_ok=True)
    page = build / PAGE.name
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    return Place(build, build / "figures", page, build)
