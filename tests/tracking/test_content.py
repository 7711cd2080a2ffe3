"""A checkpoint is known by its weights, whatever else is in its file, wherever and however it is stored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fsspec.core import url_to_fs

from lightning_lrsched.tracking.content import content_of


def saved(folder: Path, value: float, **more: Any) -> str:
    path = folder / f"{len(list(folder.iterdir()))}.ckpt"
    torch.save({"state_dict": {"weight": torch.full((300,), value)}, **more}, path)
    return str(path)


@pytest.fixture(params=[True, False], ids=["with checksums", "without"])
def checksums(request: pytest.FixtureRequest) -> Iterator[bool]:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(request.param)
    yield request.param
    torch.serialization.set_crc32_options(before)


def test_other_weights_are_other_content(tmp_path: Path, checksums: bool) -> None:
    first, other = saved(tmp_path, 1.0), saved(tmp_path, 2.0)
    assert content_of(first) == content_of(first) != content_of(other)
    if checksums:
        assert content_of(saved(tmp_path, 1.0, saved_at="noon")) == content_of(first)


def test_shards_are_read_and_what_lies_beside_them_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "run[1]" / "a.ckpt"
    folder.mkdir(parents=True)
    for rank in (0, 1):
        (folder / f"__{rank}_0.distcp").write_bytes(b"shard %d" % rank)
    (folder / "meta.pt").write_bytes(b"noon")
    before = content_of(str(folder))
    (folder / "meta.pt").write_bytes(b"midnight")
    assert content_of(str(folder)) == before
    (folder / "__1_0.distcp").write_bytes(b"shard 2")
    assert content_of(str(folder)) != before


def test_a_remote_file_is_read_where_it_is_and_one_that_is_gone_is_nothing(tmp_path: Path) -> None:
    here = saved(tmp_path, 1.0)
    fs, _ = url_to_fs("memory://")
    fs.pipe_file("/content/a.ckpt", Path(here).read_bytes())
    assert content_of("memory://content/a.ckpt") == content_of(here)
    fs.rm("/content", recursive=True)
    assert content_of("memory://content/a.ckpt") is None
    assert content_of(str(tmp_path / "gone.ckpt")) is None
