"""lr, phase and cycle in progress bars that really run."""

import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback, ProgressBar, TQDMProgressBar
from torch import Tensor
from torch.optim import SGD

from lightning_lrsched import SGDR, Cosine, LearningRateScheduler, ScheduleProgress, Warmup
from lightning_lrsched.callbacks.schedule_progress import schedule_items
from lightning_lrsched.callbacks.trainer_access import is_last_batch
from tests.callbacks.models import LR, Tiny, loader, make_trainer, two_groups


class Told(Tiny):
    """Logs a value to the bar, as modules do."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        self.log("loss", 0.25, prog_bar=True)
        return super().training_step(batch, batch_idx)


def schedule() -> LearningRateScheduler:
    return LearningRateScheduler(SGDR("8 steps"), warmup=Warmup("4 steps"))


def tqdm_text(folder: Path, capsys: pytest.CaptureFixture[str], *callbacks: Callback) -> str:
    """The last line of a real TQDM bar."""
    trainer = make_trainer(folder, TQDMProgressBar(), *callbacks, enable_progress_bar=True)
    capsys.readouterr()
    trainer.fit(Told())
    return re.split(r"[\r\n]", capsys.readouterr().out.strip())[-1]


def test_a_bar_in_a_file_shows_them_behind_what_lightning_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 20 steps: the warmup until 4, cycles from 0 and 12 on; after the last step its end value holds.
    with_schedule = tqdm_text(tmp_path, capsys, schedule(), ScheduleProgress())
    without = tqdm_text(tmp_path, capsys, schedule())
    assert with_schedule.endswith("loss=0.250, lr=0, phase=cosine cycle, cycle=1]")
    own = re.sub(r", lr=.*?(?=\])", "", with_schedule)
    speed = r"\d+:\d+|[\d.]+it/s"
    assert re.sub(speed, "", own) == re.sub(speed, "", without)


class Samples(Callback):
    """What would be shown after every step."""

    def __init__(self) -> None:
        self.items: list[dict[str, str]] = []

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self.items.append(schedule_items(trainer))


def test_phase_cycle_and_lr_are_those_of_the_next_step(tmp_path: Path) -> None:
    samples, scheduler = Samples(), schedule()
    make_trainer(tmp_path, scheduler, samples).fit(Tiny())
    timeline = scheduler.timeline
    assert timeline is not None
    assert [item["phase"] for item in samples.items] == ["warmup"] * 3 + ["cosine cycle"] * 17
    assert [item["cycle"] for item in samples.items] == ["0"] * 11 + ["1"] * 9
    assert [item["lr"] for item in samples.items] == [f"{timeline.lr(step, LR):.3g}" for step in range(1, 21)]


@pytest.mark.parametrize(
    ("callbacks", "module", "shown"),
    [
        pytest.param([], Tiny(), {"lr": "0.1"}, id="no schedule of ours"),
        pytest.param([], Tiny(two_groups), {"lr": "0.02 to 0.1"}, id="groups"),
        pytest.param([LearningRateScheduler(Cosine())], Tiny(), {"lr": "0", "phase": "cosine"}, id="no cycles"),
    ],
)
def test_what_is_shown_of_other_trainings(
    tmp_path: Path, callbacks: list[Callback], module: Tiny, shown: dict[str, str]
) -> None:
    samples = Samples()
    make_trainer(tmp_path, *callbacks, samples).fit(module)
    assert samples.items[-1] == shown


class Pair(Tiny):
    """Two optimizers, by hand."""

    def __init__(self) -> None:
        super().__init__(lambda module: [SGD([module.weight], lr=0.1), SGD([module.bias], lr=0.2)])
        self.automatic_optimization = False

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        optimizers: Any = self.optimizers()
        for optimizer in optimizers:
            optimizer.step()


def test_each_of_several_optimizers_has_its_lr(tmp_path: Path) -> None:
    samples = Samples()
    make_trainer(tmp_path, samples).fit(Pair())
    assert samples.items[-1] == {"lr/0": "0.1", "lr/1": "0.2"}


class Keeps(TQDMProgressBar):
    """Keeps what it was given to show."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[dict[str, Any]] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        super().on_train_batch_end(trainer, pl_module, *args)
        self.given.append(self.get_metrics(trainer, pl_module))


def test_a_metric_of_the_same_name_stays_the_modules(tmp_path: Path) -> None:
    class Own(Tiny):
        def training_step(self, batch: Tensor, batch_idx: int) -> Any:
            self.log("lr", 7.0, prog_bar=True)
            return super().training_step(batch, batch_idx)

    bar = Keeps()
    make_trainer(tmp_path, bar, schedule(), ScheduleProgress(), enable_progress_bar=True).fit(Own())
    assert {float(given["lr"]) for given in bar.given} == {7.0}
    assert bar.given[-1]["cycle"] == "1"


def test_the_bar_is_left_as_it_was(tmp_path: Path) -> None:
    class Breaks(Tiny):
        def training_step(self, batch: Tensor, batch_idx: int) -> Any:
            raise RuntimeError("broken")

    bar: ProgressBar = TQDMProgressBar()
    progress = ScheduleProgress()
    make_trainer(tmp_path, bar, progress, enable_progress_bar=True).fit(Tiny())
    assert "get_metrics" not in vars(bar)
    with pytest.raises(RuntimeError, match="broken"):
        make_trainer(tmp_path, bar, progress, enable_progress_bar=True).fit(Breaks())
    assert "get_metrics" not in vars(bar)


def test_without_a_bar_nothing_happens(tmp_path: Path) -> None:
    module = Tiny()
    make_trainer(tmp_path, schedule(), ScheduleProgress()).fit(module)
    assert module.batches == 20


def test_values_are_looked_up_ten_times_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def counting(trainer: L.Trainer) -> dict[str, str]:
        if not is_last_batch(trainer):
            looks.append(time.monotonic())
        return schedule_items(trainer)

    monkeypatch.setattr("lightning_lrsched.callbacks.schedule_progress.schedule_items", counting)

    class Long(Tiny):
        def train_dataloader(self) -> Any:
            return loader(400)

    bar = Keeps()
    trainer = make_trainer(tmp_path, bar, schedule(), ScheduleProgress(), enable_progress_bar=True, max_epochs=1)
    trainer.fit(Long())
    assert len(bar.given) == 400
    assert looks
    assert all(after - before >= 0.1 for before, after in pairwise(looks))
