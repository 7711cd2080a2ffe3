"""The lr of every schedule against the values of its peers, from JSON vectors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tests.golden.peers  # noqa: F401
from tests.golden.adapters import Case, Differs, DrivenCase, cases_of

RELATIVE = 1e-9
SINGLE = {"optax-t-cos-exp": 2.0**-23}  # of the base lr: computed in float32, though the vector states no tolerance
ROUNDING = 1e-15  # of the base lr: a value near zero is the difference of two float64 numbers of that size


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each vector in the folder."""
    if "vector" not in metafunc.fixturenames:
        return
    folder: Path = metafunc.config.getoption("--golden-dir")
    files = sorted(folder.glob("*.json"))
    if not files:
        raise pytest.UsageError(f"--golden-dir {folder} holds no *.json file")
    vectors = [vector for file in files for vector in json.loads(file.read_text(encoding="utf-8"))]
    metafunc.parametrize("vector", [pytest.param(vector, id=vector["id"]) for vector in vectors])


def check(case: Case, values: list[list[float]], tolerance: float) -> set[float]:
    """Compare one case with the vector and return the t it spoke of."""
    timeline = case.timeline
    mine = [(t, expected) for t, expected in values if t <= case.until]
    steps = np.array([case.step(t) for t, _ in mine])
    drawn = timeline.lr(steps, case.base_lr)
    for (t, expected), step, vectorised in zip(mine, steps.tolist(), drawn.tolist(), strict=True):
        scalar = timeline.lr(step, case.base_lr)
        assert scalar == vectorised, f"t = {t}: {scalar!r} for one step, {vectorised!r} in an array"
        allowed = max(RELATIVE * abs(expected), tolerance, ROUNDING * case.base_lr)
        assert abs(scalar - expected) <= allowed, f"t = {t}: {scalar!r}, expected {expected!r} of {case.plan}"
    return {t for t, _ in mine}


def check_driven(case: DrivenCase, values: list[list[float]], tolerance: float) -> set[float]:
    """Compare a schedule that torch drives with the vector and return the t it spoke of."""
    for got, (t, expected) in zip(case.values(len(values)), values, strict=True):
        allowed = max(RELATIVE * abs(expected), tolerance, ROUNDING * case.base_lr)
        assert abs(got - expected) <= allowed, f"t = {t}: {got!r}, expected {expected!r} of {case.main}"
    return set(map(float, range(len(values))))


def test_vector(vector: dict[str, Any], record_property: Any) -> None:
    name = vector["schedule"]
    try:
        cases = cases_of(vector)
    except Differs as reason:
        record_property("golden differs", f"{name} [{vector['id']}: {reason}]")
        pytest.skip(f"differs on purpose: {name}: {reason}")
    record_property("golden compared", name)
    for words in {case.written for case in cases if case.written}:
        record_property("golden by function", f"{name} [{vector['id']}: {words}]")
    tolerance = float(vector.get("tol") or SINGLE.get(vector["id"], 0.0) * vector["base_lr"])
    compared: set[float] = set()
    for case in cases:
        compare = check_driven if isinstance(case, DrivenCase) else check
        compared |= compare(case, vector["values"], tolerance)  # type: ignore[arg-type]
    assert compared == {t for t, _ in vector["values"]}
