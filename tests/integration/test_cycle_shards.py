"""Sharded checkpoints: what is kept under FSDP2, on two processes, is what one process would keep."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch

from lightning_lrsched.ensemble import SnapshotEnsemble, average_weights, find_members, load_member
from tests.integration.ranks import Sharded
from tests.integration.test_strategies import TORCHRUN, check_ended, finish, seen
from tests.processes import starting

Found: TypeAlias = dict[str, list[dict[str, Any]]]

SCENARIOS = ("whole", "resumed", "full")
pytestmark = pytest.mark.timeout(300)


class Plain(Sharded):
    """The module of the ranks, on one process."""

    def __init__(self) -> None:
        super().__init__()
        self.block = torch.nn.Linear(512, 512, bias=False)

    def configure_model(self) -> None:
        """Shard nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    with starting(folder) as start:
        process = start(*TORCHRUN, Path(__file__).with_name("cycle_ranks.py"), folder, *SCENARIOS)
        log = finish([process], folder)
    check_ended([process], log)
    return seen(folder, log, *SCENARIOS)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def kept(found: Found, scenario: str) -> list[tuple[Any, ...]]:
    """What was kept, the same on both ranks, without the folder."""
    first, second = (rank["rows"] for rank in found[scenario])
    assert first == second
    return [(cycle, Path(path).name, *rest) for cycle, path, *rest in first]


def test_the_best_and_the_end_of_each_cycle_are_folders_of_shards(folder: Path, found: Found) -> None:
    rows = kept(found, "whole")
    assert [(cycle, role, step) for cycle, _, role, step, _ in rows] == [
        *((0, "best", 6), (0, "end", 7), (1, "best+end", 12), (2, "best", 16), (2, "end", 17), (3, "best+end", 20))
    ]
    assert names(folder / "whole") == sorted([*(name for _, name, *_ in rows), "cycles.json"])
    assert names(folder / "whole" / rows[0][1]) == [".metadata", "__0_0.distcp", "__1_0.distcp", "meta.pt"]


def test_only_one_rank_removes_what_was_replaced(found: Found) -> None:
    for scenario in SCENARIOS:
        assert found[scenario][0]["removed"]
        assert found[scenario][1]["removed"] == []


def test_a_resumed_run_ends_with_the_folders_of_a_whole_one(folder: Path, found: Found) -> None:
    assert kept(found, "resumed") == kept(found, "whole")
    assert names(folder / "resumed") == names(folder / "whole")
    listed = json.loads((folder / "resumed" / "cycles.json").read_text())
    assert [row["cycle"] for row in listed["cycles"]] == [0, 1, 2, 3]


def test_what_is_kept_holds_the_weights_of_its_step(folder: Path, found: Found) -> None:
    after = found["whole"][0]["after"]
    for _, name, _, step, _ in kept(found, "whole"):
        module: Any = load_member(folder / "whole" / name, Plain)
        assert float(module.layer.weight.detach()[0, 0]) == after[str(step)]
    best = int(Path(found["whole"][0]["best"]).stem.rpartition("=")[2])
    assert [rank["tested"] for rank in found["whole"]] == [after[str(best)]] * 2


def test_shards_are_members_of_an_ensemble(folder: Path, found: Found) -> None:
    ends = find_members(folder / "whole")
    assert [one.step for one in ends] == [7, 12, 17]
    mean = sum(found["whole"][0]["after"][str(one.step)] for one in ends) / len(ends)
    averaged: Any = average_weights(folder / "whole", Plain())
    assert float(averaged.layer.weight.detach()[0, 0]) == pytest.approx(mean)
    assert len(SnapshotEnsemble.from_checkpoints([one.path for one in ends], Plain).members) == len(ends)
    assert find_members(ends[0].path)[0].path == ends[0].path


def test_a_disk_that_fills_up_on_one_rank_is_told_and_the_earlier_folders_stay(folder: Path, found: Found) -> None:
    told: list[str] = found["full"][0]["told"]
    steps: Callable[[str], str] = lambda text: text.partition("step=")[2].partition(".")[0]  # noqa: E731
    assert list(map(steps, told)) == ["6", "7", "8", "10", "12"]
    assert all("the disk is probably full. The earlier checkpoints are whole" in text for text in told)
    rows = kept(found, "full")
    assert [step for _, _, _, step, _ in rows] == [4, 16, 17, 20]
    assert names(folder / "full") == sorted([*(name for _, name, *_ in rows), "cycles.json"])
    assert all(load_member(folder / "full" / name, Plain) for _, name, *_ in rows)
