"""Where the study keeps its runs and its figures, and where its report goes."""

import csv
import platform
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.sgdr_study.harvest import harvest, measured
from benchmarks.sgdr_study.results import Members, Result, read_members, read_results, write_members, write_results
from benchmarks.sgdr_study.text import Topics
from lightning_lrsched.sweep import load_sweep

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

    def trained(self, experiment: str) -> list[Result]:
        """Return the finished runs of an experiment, from MLflow."""
        return [each.result for each in harvest(load_sweep(self.build / f"{experiment}.yaml"), self.store)]

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

    def keep(self, experiment: str, chosen: dict[str, float] | None = None) -> None:
        """Write the file of figures of an experiment.

        Args:
            experiment: its name.
            chosen: the lr of each schedule that the rule has chosen; a run at another lr gets the lr into its name.
                None if no lr was chosen.
        """
        self.figures.mkdir(parents=True, exist_ok=True)
        found = harvest(load_sweep(self.build / f"{experiment}.yaml"), self.store)
        for index, each in enumerate(found):
            one = each.result
            if chosen is not None and one.lr != chosen[one.schedule]:
                found[index] = replace(each, result=replace(one, schedule=f"{one.schedule}, lr {one.lr:g}"))
        write_results(self.figures / f"{experiment}.csv", [each.result for each in found])
        if together := measured(found):
            write_members(self.figures / f"{experiment}-ends.csv", together)

    def keep_grid(self, experiment: str) -> None:
        """Write the file of figures of the runs that chose the lrs: their validation loss alone."""
        self.figures.mkdir(parents=True, exist_ok=True)
        runs = [replace(each, curves={"val_loss": each.curves["val_loss"]}) for each in self.trained(experiment)]
        write_results(self.figures / f"{experiment}.csv", runs)

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
