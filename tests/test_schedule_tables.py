"""The page of the schedules has every argument of every one, with its default."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import lightning_lrsched
from docs.make_schedules import DOCS, main, page
from lightning_lrsched import schedules

NAMES = [*schedules.__all__, "TorchScheduler", "Plateau", "Warmup", "Cooldown"]


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_a_schedule_has_its_arguments_and_their_defaults(name: str) -> None:
    text = (DOCS / "schedules.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.+?)`|required) \| (.+) \|$", section, flags=re.MULTILINE)
    given = inspect.signature(getattr(lightning_lrsched, name)).parameters.values()
    assert [row[0] for row in rows] == [each.name for each in given]
    for (_, default, meaning), parameter in zip(rows, given, strict=True):
        required = parameter.default is parameter.empty
        assert default == "" if required else ast.literal_eval(default) == parameter.default
        assert len(meaning) > 5


def test_the_page_of_schedules_is_up_to_date(tmp_path: Path) -> None:
    main(tmp_path)
    assert (tmp_path / "schedules.md").read_text(encoding="utf-8") == page()
    assert (DOCS / "schedules.md").read_text(encoding="utf-8") == page(), "python docs/make_schedules.py writes it"
