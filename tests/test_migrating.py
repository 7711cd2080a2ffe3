"""Each row of docs/migrating.md: their call, as it was recorded in a run of theirs, and ours give the same values."""

import ast
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from torch.optim import lr_scheduler

import lightning_lrsched
from lightning_lrsched import LearningRateScheduler, RunLength, Timeline
from lightning_lrsched.torch_schedules import Driven, simulate

PAGE = (Path(__file__).parent.parent / "docs" / "migrating.md").read_text(encoding="utf-8")
VECTORS = [
    vector
    for file in sorted((Path(__file__).parent / "golden" / "vectors").glob("*_run.json"))
    for vector in json.loads(file.read_text(encoding="utf-8"))
]
LIBRARIES = ("torch", "transformers", "timm", "pytorch_warmup", "Lightning Bolts", "Keras")
RELATIVE, ROUNDING = 1e-9, 1e-15


def rows() -> dict[str, list[tuple[str, str, str]]]:
    """The rows of each library's table: their call, what is given to LearningRateScheduler, the steps of the run."""
    found = {}
    for section in PAGE.split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
        if lines:
            found[title] = [(theirs.strip(), ours.strip(), run.strip()) for theirs, ours, run in lines[2:]]
    return found


ROWS = [pytest.param(*row, id=re.sub(r"[`\s]", "", row[0])[:80]) for table in rows().values() for row in table]


def spans(cell: str) -> list[str]:
    """The code of a cell."""
    return re.findall(r"`([^`]*)`", cell)


def read(node: ast.expr) -> Any:
    """A value as the recorded runs write it: a call as its name and parameters, a function as its text."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            given = {str(keyword.arg): read(keyword.value) for keyword in keywords}
            return [name, {"schedulers": read(args[0])} | given if args else given]
        case ast.Lambda(body=body):
            return ast.unparse(body)
        case ast.List(elts=elements):
            return [read(element) for element in elements]
        case _:
            return ast.literal_eval(node)


def called(cell: str) -> tuple[str, dict[str, Any]]:
    """The name and the parameters of a peer's call, as a recorded run states them."""
    first, *more = spans(cell)
    node = ast.parse(first, mode="eval").body
    besides = {key: ast.literal_eval(value) for key, _, value in (each.partition("=") for each in more)}
    if isinstance(node, ast.BinOp):
        (warmup, period), (main, given) = read(node.left), read(node.right)
        return f"{warmup}*{main}", {"warmup": period, "scheduler": given} | besides
    name, given = read(node)
    if name.endswith("Warmup"):
        given = {"warmup": given, "scheduler": None}
    return name, given | besides


def recorded(name: str, given: dict[str, Any]) -> list[dict[str, Any]]:
    """The recorded runs of a call; what they state beyond it is at the peer's default."""
    peer = getattr(lr_scheduler, name, None)
    defaults = {key: p.default for key, p in inspect.signature(peer).parameters.items()} if peer else {}
    written = {key: value for key, value in given.items() if key != "lr_lambda"}

    def is_of(vector: dict[str, Any]) -> bool:
        params = {key: value for key, value in vector["params"].items() if key not in ("meaning", "metrics")}
        text = params.pop("lr_lambda", None)
        if text is not None and ast.unparse(ast.parse(text)) != given.get("lr_lambda"):
            return False
        if {key: params.get(key) for key in written} != written:
            return False
        return all(defaults.get(key, ...) == value for key, value in params.items() if key not in written)

    return [vector for vector in VECTORS if vector["schedule"] == name and is_of(vector)]


def ours(cell: str) -> LearningRateScheduler:
    """The callback of a row."""
    names = {name: getattr(lightning_lrsched, name) for name in lightning_lrsched.__all__}
    [arguments] = spans(cell)
    made = eval(f"LearningRateScheduler({arguments})", names)
    assert isinstance(made, LearningRateScheduler)
    return made


def drawn(callback: LearningRateScheduler, vector: dict[str, Any], total: int | None) -> dict[float, float]:
    """Our values at the steps of a recorded run, up to the end of ours."""
    base_lr, times = vector["base_lr"], [t for t, _ in vector["values"] if total is None or t < total]
    main = callback.recipe.main
    if isinstance(main, Driven):
        values = simulate(main, len(times), base_lr, metrics=vector["params"]["metrics"])
        return dict(zip(times, values, strict=True))
    key, run = vector.get("param") or "lr", RunLength(total_steps=total)
    plan = callback.plan
    timeline: Timeline = plan.resolve(run) if key == "lr" else plan.resolve_others(run)[key]
    return {t: timeline.lr(t, base_lr) for t in times}


@pytest.mark.parametrize(("theirs", "here", "run"), ROWS)
def test_a_row_gives_the_values_of_the_peer(theirs: str, here: str, run: str) -> None:
    name, given = called(theirs)
    found = recorded(name, given)
    assert found, f"no recorded run of {name} with {given}"
    total = int(run) if run else None
    for vector in found:
        values = drawn(ours(here), vector, total)
        assert len(values) >= 8
        assert total in (None, len(values)), "the recorded run is shorter than ours"
        for t, expected in vector["values"]:
            if t in values:
                allowed = max(RELATIVE * abs(expected), ROUNDING * vector["base_lr"])
                assert values[t] == pytest.approx(expected, rel=0.0, abs=allowed), f"{vector['id']} at t = {t}"


def test_every_library_has_a_table() -> None:
    assert tuple(rows()) == LIBRARIES


def test_a_row_that_is_wrong_is_found() -> None:
    theirs, here, run = next(row for row in rows()["torch"] if row[0].startswith("`StepLR"))
    with pytest.raises(AssertionError, match="torch-StepLR"):
        test_a_row_gives_the_values_of_the_peer(theirs, here.replace("Step(10", "Step(9"), run)


def test_the_momentum_is_compared_where_torch_moves_it() -> None:
    [row] = [row for row in rows()["torch"] if row[0] == "`OneCycleLR(max_lr=0.1, total_steps=20)`"]
    assert {vector["param"] for vector in recorded(*called(row[0]))} == {"lr", "momentum"}
