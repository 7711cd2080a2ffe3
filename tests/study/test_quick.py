"""The study's machinery on small budgets: sweeps, choice of lrs, tables, pictures. Nothing is claimed of schedules."""

import os
import re
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.sgdr_study.mnist import Mnist
from benchmarks.sgdr_study.text import Topics

ROOT = Path(__file__).parents[2]
BLOCKS: tuple[str, ...] = (
    "grid B",
    "error A",
    "warmed B",
    "differences B",
    "against cosine B",
    "targets C",
    "error C",
    "restarts",
)
BLOCKS += ("choices", "best cycle", "ensembles", "warmup", "floor", "times")
PICTURES = ("final", "targets", "anytime", "restarts", "choices", "ensembles", "warmup", "compare")
TRAINED = {"a": 4, "b": 10, "b-paper": 2, "c": 4, "d": 4}
FINISHED = TRAINED | {"b-paper": 4}  # two of them are also runs of b


def quick(folder: Path) -> str:
    """Run the quick form in a folder and return what it printed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "benchmarks.sgdr_study.run", "--quick", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_quick_form_fills_every_table_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    told = quick(tmp_path)
    assert re.findall(r"(\d+) runs trained", told) == [str(count) for count in TRAINED.values()]
    assert "chosen for step: lr 0." in told
    page = (tmp_path / "study.md").read_text(encoding="utf-8")
    for name in BLOCKS:
        block = page.partition(f"<!-- {name} -->")[2].partition("<!-- end of")[0]
        assert re.search(r"\| \d|\d\.\d", block), name
        assert "nan" not in block, name
    for picture in PICTURES:
        assert (tmp_path / f"study-{picture}.png").stat().st_size > 10_000
    assert (tmp_path / "study-b.html").stat().st_size > 100_000

    again = re.findall(r"(\d+) runs trained, (\d+) had finished", quick(tmp_path))
    assert again == [("0", str(count)) for count in FINISHED.values()]
    assert (tmp_path / "study.md").read_text(encoding="utf-8") == page


def test_the_splits_share_nothing_and_never_change() -> None:
    data, again = Mnist(), Mnist()
    images, labels, split = data.rest
    assert torch.equal(images, again.rest[0])
    counts = len(data.train[1]), split, len(labels) - split
    assert counts[0] * 5 // 4 == counts[2]
    everything = torch.cat([data.train[0], images]).flatten(1)
    assert len(torch.unique(everything, dim=0)) == len(everything)


def test_shifted_batches_are_the_images_moved() -> None:
    torch.manual_seed(0)
    data = Mnist(batch_size=128)
    batches = list(data.train_dataloader())
    assert len(batches) == len(data.train[1]) // 128
    images, labels = batches[0]
    assert images.shape == (128, *data.train[0].shape[1:])
    inside = images.flatten(1).sort(1).values[:, -5:]
    assert torch.isin(inside, data.train[0]).all()
    assert sorted(labels.tolist()) != labels.tolist()


def test_the_texts_parts_do_not_overlap() -> None:
    data = Topics()
    assert len(data.part(0, 0.9)) + len(data.part(0.9, 0.95)) + len(data.part(0.95, 1)) == len(data.text)
    assert 3.0 < data.unigram_floor() < 3.5
    assert [batch.shape for batch in data.train_dataloader()][:1] == [(32, 65)]
