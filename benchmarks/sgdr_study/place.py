"""Where the study keeps its runs, and where its report goes."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.sgdr_study.results import Result, results
from lightning_lrsched.sweep import load_sweep

PAGE = Path(__file__).parents[2] / "docs" / "study.md"


@dataclass(frozen=True)
class Place:
    """The folders of one study.

    Args:
        build: runs, checkpoints and the sweeps' files.
        page: the page whose tables are written.
        images: folder of the pictures.
    """

    build: Path
    page: Path
    images: Path

    @property
    def store(self) -> str:
        """The tracking URI of the runs."""
        return f"sqlite:///{(self.build / 'mlflow.db').absolute()}"

    def read(self, experiment: str) -> list[Result]:
        """Return the finished runs of an experiment; none if it has not been begun."""
        path = self.build / f"{experiment}.yaml"
        return results(load_sweep(path), self.store) if path.exists() else []


def published() -> Place:
    """Return the place of the study that the docs publish."""
    return Place(Path("build/study"), PAGE, PAGE.parent / "images")


def tried(build: Path) -> Place:
    """Return a place that touches nothing else: the page is a copy, beside the runs."""
    build.mkdir(parents=True, exist_ok=True)
    page = build / PAGE.name
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    return Place(build, page, build)
