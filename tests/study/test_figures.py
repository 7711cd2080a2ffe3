"""The published figures: the page says what they say, and they were made by the rules that the page tells."""

import re
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.sgdr_study.answers import EXPERIMENTS
from benchmarks.sgdr_study.place import PAGE, published
from benchmarks.sgdr_study.report import rewritten
from benchmarks.sgdr_study.results import by_schedule, lowest
from benchmarks.sgdr_study.run import PAPER_RATES

PLACE = published()
LEAST_SEEDS = {"study-a": 3, "study-b": 5, "study-c": 3, "study-d": 5, "study-d-pre": 3}
MOST_BYTES = 1_000_000


def test_the_tables_of_the_page_are_what_the_figures_give() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rewritten(PLACE, page) == page


def test_no_table_of_the_page_is_empty() -> None:
    page = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- (?!end of)(.*?) -->\n(.*?)<!-- end of", page, re.DOTALL)
    assert len(blocks) > 20
    assert not [name for name, block in blocks if not re.search(r"\d", block.partition("--- |\n")[2] or block)]


def test_every_picture_of_the_page_is_there() -> None:
    names = re.findall(r"\(images/(study-[a-z]+\.png)\)", PAGE.read_text(encoding="utf-8"))
    assert len(names) == len(set(names)) == 8
    assert not [name for name in names if not (PLACE.images / name).exists()]


@pytest.mark.parametrize("experiment", LEAST_SEEDS)
def test_every_run_of_an_experiment_has_the_same_seeds_and_the_same_budget(experiment: str) -> None:
    results = PLACE.read(experiment)
    seeds = Counter((one.schedule, one.warmup, one.lr) for one in results)
    assert len(set(seeds.values())) == 1
    assert min(seeds.values()) >= LEAST_SEEDS[experiment]
    assert len({(one.epochs, one.epoch_steps) for one in results}) == 1


@pytest.mark.parametrize("letter", EXPERIMENTS)
def test_the_lrs_are_those_that_the_rule_chooses_with_a_seed_that_is_not_reported(letter: str) -> None:
    key = EXPERIMENTS[letter].key
    grid, results = PLACE.read(f"{key}-choose"), PLACE.read(key)
    assert not {one.seed for one in grid} & {one.seed for one in results}
    chosen = lowest(grid)
    paper = {
        f"{schedule}, lr {lr:g}": lr
        for schedule, lrs in PAPER_RATES.get(letter.lower(), {}).items()
        for lr in lrs
        if lr != chosen[schedule]
    }
    assert {name: runs[0].lr for name, runs in by_schedule(results).items()} == chosen | paper
    tried = {name: {one.lr for one in grid if one.schedule == name} for name in chosen}
    assert len({frozenset(lrs) for lrs in tried.values()}) == 1, "one grid for all schedules"


def test_the_figures_are_small() -> None:
    assert sum(path.stat().st_size for path in Path(PLACE.figures).iterdir()) < MOST_BYTES


def test_every_interval_that_the_text_tells_stands_in_a_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    tables = "".join(re.findall(r"<!-- (?!end of).*?<!-- end of", page, re.DOTALL))
    text = re.sub(r"<!-- (?!end of).*?<!-- end of .*? -->", "", page, flags=re.DOTALL)
    told = re.findall(r"[+-]\d+\.\d+ \[[+-]\d+\.\d+, [+-]\d+\.\d+\]", text)
    assert len(told) >= 10
    assert not [each for each in told if each not in tables]
