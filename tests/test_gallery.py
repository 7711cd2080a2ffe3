"""The gallery shows everything that can be named, and its pictures are those that its script draws."""

from pathlib import Path

import pytest

from docs.make_gallery import DOCS, SCHEDULES, WARMUPS, Entry, main, page
from lightning_lrsched import Warmup, schedules
from lightning_lrsched.expression import parse_part

ENTRIES = [pytest.param(entry, id=entry.name) for entry in (*SCHEDULES, *WARMUPS)]


def test_every_schedule_is_shown() -> None:
    assert sorted(entry.name for entry in SCHEDULES) == sorted(schedules.__all__)


def test_every_warmup_is_shown() -> None:
    with pytest.raises(ValueError, match=r"Warmup\.shape") as refused:
        Warmup("5%", shape="none")
    shown = {part.shape for part in (parse_part(entry.call) for entry in WARMUPS) if isinstance(part, Warmup)}
    listed = str(refused.value).partition("one of ")[2].partition(". For example")[0]
    assert shown == {name.strip(" '") for name in listed.split(",")}


@pytest.mark.parametrize("entry", ENTRIES)
def test_its_picture_is_there_and_small(entry: Entry) -> None:
    picture = DOCS / "images" / "gallery" / entry.picture
    assert 1000 < picture.stat().st_size < 25_000
    assert f"](images/gallery/{entry.picture})" in (DOCS / "gallery.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    assert (DOCS / "gallery.md").read_text(encoding="utf-8") == page()
    pictures = {path.name for path in (DOCS / "images" / "gallery").iterdir()}
    assert pictures == {entry.picture for entry in (*SCHEDULES, *WARMUPS)}


def test_the_script_draws_all_of_it(tmp_path: Path) -> None:
    main(tmp_path)
    assert (tmp_path / "gallery.md").read_text(encoding="utf-8") == page()
    assert len(list((tmp_path / "images" / "gallery").glob("*.png"))) == len(ENTRIES)
