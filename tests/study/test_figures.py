"""The published figures: the page says what they say, and they were made by the rules that the page tells."""

import re
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.sgdr_study.answers import EXPERIMENTS
from benchmarks.sgdr_study.place import PAGE, published
from benchmarks.sgdr_study.report import rewritten
from benchmarks.sgdr_study.results import by_schedule, lowest
from benchmarks.sgdr_study.run import CONFIGS, PAPER
from lightning_lrsched.configs import load_document

PLACE = published()
_NAMES = ("a", "a-narrow", "b", "b-narrow", "c", "d", "d-pre")
LEAST_SEEDS = {f"study-{name}": 5 for name in _NAMES}
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
    grid, results = PLACE.read(f"{key}-select"), PLACE.read(key)
    assert not {one.seed for one in grid} & {one.seed for one in results}
    chosen = lowest(grid)
    more = CONFIGS / f"{letter.lower()}{PAPER}.yaml"
    paper = load_document(more) if more.exists() else {"schedules": {}, "lrs": []}
    shown = {f"{name}, lr {lr:g}": lr for name in paper["schedules"] for lr in paper["lrs"] if lr != chosen[name]}
    assert {name: runs[0].lr for name, runs in by_schedule(results).items()} == chosen | shown


@pytest.mark.parametrize("letter", EXPERIMENTS)
def test_one_grid_is_tried_for_all_and_no_choice_lies_at_its_edge(letter: str) -> None:
    grid = PLACE.read(f"{EXPERIMENTS[letter].key}-select")
    chosen = lowest(grid)
    tried = {name: {one.lr for one in grid if one.schedule == name} for name in chosen}
    common = set.intersection(*tried.values())
    assert len(common) >= 3
    for name, lrs in tried.items():
        assert min(lrs) < chosen[name] < max(lrs), name
        assert all(lr < min(common) or lr > max(common) for lr in lrs - common), name


def test_the_time_is_the_sum_of_what_the_runs_recorded() -> None:
    counts = {key: len({(r.schedule, r.warmup, r.lr, r.seed) for r in PLACE.read(key)}) for key in LEAST_SEEDS}
    grids = {key: len({(r.schedule, r.lr) for r in PLACE.read(f"{key}-select")}) for key in LEAST_SEEDS}
    assert {key: runs for key, (runs, _, _) in PLACE.times().items()} == {
        key: counts[key] + grids[key] for key in LEAST_SEEDS
    }
    assert all(0 < shortest * runs <= seconds + runs for runs, seconds, shortest in PLACE.times().values())


def test_the_figures_are_small() -> None:
    assert sum(path.stat().st_size for path in Path(PLACE.figures).iterdir()) < MOST_BYTES


def test_every_interval_that_the_text_tells_stands_in_a_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    tables = "".join(re.findall(r"<!-- (?!end of).*?<!-- end of", page, re.DOTALL))
    text = re.sub(r"<!-- (?!end of).*?<!-- end of .*? -->", "", page, flags=re.DOTALL)
    told = re.findall(r"[+-]\d+\.\d+ \[[+-]\d+\.\d+, [+-]\d+\.\d+\]", text)
    assert len(told) >= 10
    assert not [each for each in told if each not in tables]
