"""What the comparison with the peers says of vectors that it cannot compare, and that it can fail."""

import json
import re
from fnmatch import fnmatch
from typing import Any

import pytest

import tests.golden.peers  # noqa: F401
from tests.conftest import VECTORS
from tests.golden.adapters import Case, Differs, DrivenCase, NotBuilt, Refused, Unknown, cases_of
from tests.golden.test_golden import SINGLE, check
from tests.golden.written import Written

BELOW_ZERO = {"warmup_steps": 1, "total_steps": 2, "cosine": False, "linear": True}


def _vector(schedule: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "x", "schedule": schedule, "params": params, "base_lr": 0.1, "values": [[0, 0.1], [3, 0.01]], **more}


def _case(schedule: str, params: dict[str, Any]) -> Case:
    (case,) = cases_of(_vector(schedule, params))
    assert isinstance(case, Case)
    return case


@pytest.mark.parametrize(
    ("vector", "outcome", "words"),
    [
        pytest.param(_vector("FrobLR", {}), Unknown, "FrobLR", id="unknown-schedule"),
        pytest.param(_vector("StepLR", {"step_size": 3, "frob": 1}), Unknown, "frob", id="unknown-parameter"),
        pytest.param(_vector("PlateauLRScheduler", {}), NotBuilt, "Plateau", id="not-built"),
        pytest.param(_vector("StepLR", {"step_size": 3}, param="eps"), NotBuilt, "eps", id="another value"),
        pytest.param(_vector("StepLR", {"step_size": 3}, param="momentum"), Unknown, "momentum", id="momentum"),
        pytest.param(_vector("linear_warmup_decay", BELOW_ZERO), Differs, "below zero", id="differs"),
        pytest.param(_vector("StepLR", {"step_size": 3, "gamma": -1.0}), Refused, "gamma", id="refused"),
    ],
)
def test_vector_that_is_not_compared(vector: dict[str, Any], outcome: type[Exception], words: str) -> None:
    with pytest.raises(outcome, match=words):
        cases_of(vector)


def test_right_value_passes_and_wrong_value_fails() -> None:
    case = _case("StepLR", {"step_size": 3})
    assert check(case, [[0, 0.1], [3, 0.01]], 0.0) == {0, 3}
    with pytest.raises(AssertionError, match="t = 3"):
        check(case, [[0, 0.1], [3, 0.0100001]], 0.0)


def test_t_between_two_steps_fails() -> None:
    case = _case("StepLR", {"step_size": 3})
    with pytest.raises(AssertionError, match="no whole step"):
        Case(case.plan, case.base_lr).step(0.5)


@pytest.mark.parametrize(
    ("text", "step", "value"),
    [
        pytest.param("0.95**t", 2, 0.9025, id="power"),
        pytest.param("t/(t+1)", 3, 0.75, id="quotient"),
        pytest.param("lambda epoch: 0.5 ** (epoch // 2)", 5, 0.25, id="lambda"),
        pytest.param("1.0 if t < 3 else 0.1", 3, 0.1, id="condition"),
        pytest.param("0.5*(1+math.cos(math.pi*t/4))", 2, 0.5, id="cosine"),
        pytest.param("max(0.1, 1-t/10)", 99, 0.1, id="floor"),
        pytest.param("0.95", 7, 0.95, id="number"),
    ],
)
def test_written_function(text: str, step: int, value: float) -> None:
    assert Written(text)(step) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["__import__('os').getcwd()", "open('x')", "t.real", "[t]", "lr"])
def test_written_function_is_arithmetic_only(text: str) -> None:
    with pytest.raises(ValueError, match="is no arithmetic of the step"):
        Written(text)(1)


def test_formula_is_told_apart() -> None:
    case = _case("CosineLRScheduler", {"t_initial": 5, "warmup_t": 2})
    assert "own start" in case.written
    case = _case("StepLR", {"step_size": 3})
    assert not case.written


def _not_equal() -> list[str]:
    """Return the ids of the kept vectors that are not compared, or only with a function."""
    found = []
    for file in sorted(VECTORS.glob("*.json")):
        for vector in json.loads(file.read_text(encoding="utf-8")):
            try:
                cases = cases_of(vector)
            except (Differs, NotBuilt, Refused, Unknown):
                found.append(vector["id"])
            else:
                found += [vector["id"]] if any(case.written for case in cases) or vector["id"] in SINGLE else []
    return found


def test_every_exception_stands_in_the_docs() -> None:
    page = (VECTORS.parents[2] / "docs" / "golden.md").read_text(encoding="utf-8")
    patterns = re.findall(
        r"`([\w*-]+)`", "".join(line.split("|")[1] for line in page.splitlines() if line[:3] == "| `")
    )
    assert not [name for name in _not_equal() if not any(fnmatch(name, pattern) for pattern in patterns)]


def test_no_vector_of_torch_and_of_transformers_is_an_exception() -> None:
    kept = [*VECTORS.glob("torch_*.json"), *VECTORS.glob("transformers_*.json")]
    names = {vector["id"] for file in kept for vector in json.loads(file.read_text(encoding="utf-8"))}
    assert len(kept) == 3
    assert not names & set(_not_equal())


def test_the_docs_count_the_vectors() -> None:
    page = (VECTORS.parents[2] / "docs" / "golden.md").read_text(encoding="utf-8")
    vectors = [each for file in VECTORS.glob("*.json") for each in json.loads(file.read_text(encoding="utf-8"))]
    differ = [each for each in vectors if each["id"] == "optax-t-wcos-exp"]
    cases = [cases_of(each) for each in vectors if each not in differ]
    driven = sum(isinstance(case[0], DrivenCase) for case in cases)
    assert f"holds lrs of other libraries: {len(vectors)} vectors" in page
    assert f"{len(cases)} are equal, {driven} of them through torch's own scheduler" in page
