"""The note of a run that was trained to its end."""

from pathlib import Path

import pytest

from lightning_lrsched.sweep.trained import Trained, forget


def test_it_is_read_back_until_it_is_forgotten(tmp_path: Path) -> None:
    note = Trained.now(tmp_path / "run", "abc", None)
    assert note.write(tmp_path / "run")
    assert Trained.read(tmp_path / "run") == note
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["trained.json"]
    forget(tmp_path / "run")
    forget(tmp_path / "run")
    assert Trained.read(tmp_path / "run") is None


def test_a_spool_in_the_runs_folder_moves_with_it_and_another_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("sweeps") / "run"
    assert Trained.now(folder, "abc", tmp_path / folder / "lrsched_spool" / "x").spool == "lrsched_spool/x"
    assert Trained.now(folder, "abc", tmp_path / "spools" / "x").spool == str(tmp_path / "spools" / "x")


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"run_id": "abc"}'])
def test_one_that_is_not_whole_counts_for_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "trained.json").write_text(text, encoding="utf-8")
    assert Trained.read(tmp_path) is None


def test_a_folder_that_cannot_be_written_is_told_to_who_asks(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file", encoding="utf-8")
    assert not Trained.now(tmp_path / "run", "abc", None).write(tmp_path / "run")
    forget(tmp_path / "run")
