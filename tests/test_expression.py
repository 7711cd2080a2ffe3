"""Schedules written as text and as YAML: what is read, what is refused, and that nothing is executed."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given

import lightning_lrsched.schedules
from lightning_lrsched import (
    SGDR,
    Constant,
    Cooldown,
    Cosine,
    Cyclic,
    Linear,
    MultiStep,
    Plan,
    Schedule,
    Sequence,
    Warmup,
)
from lightning_lrsched.expression import from_config, parse_part, parse_schedule
from tests.strategies import plans, schedules


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        pytest.param("Cosine", Cosine(), id="name"),
        pytest.param(" Cosine() ", Cosine(), id="empty-call"),
        pytest.param("SGDR('10ep', T_mult=2)", SGDR("10ep", 2), id="both-kinds"),
        pytest.param("Constant(factor=-0.0)", Constant(-0.0), id="minus"),
        pytest.param("MultiStep(['3ep', 40], 0.5)", MultiStep(["3ep", 40], 0.5), id="list"),
        pytest.param("SGDR(periods=(5, 6), eta_min=[0, 1e-3])", SGDR(periods=[5, 6], eta_min=[0, 1e-3]), id="tuple"),
        pytest.param("Cosine(T_max=None, inclusive=True)", Cosine(inclusive=True), id="none-and-true"),
        pytest.param(
            "Sequence([Constant(0.5), Cosine], milestones=['3ep'])",
            Sequence([Constant(0.5), Cosine()], ["3ep"]),
            id="nested",
        ),
    ],
)
def test_text(text: str, schedule: Schedule) -> None:
    assert parse_schedule(text) == schedule


def test_parts() -> None:
    assert parse_part("5%") == "5%"
    assert parse_part("Warmup('5%', shape='cosine')") == Warmup("5%", "cosine")
    assert parse_part("Cooldown(10)") == Cooldown(10)


@given(main=schedules.filter(lambda main: "<function" not in repr(main)))
def test_the_repr_is_read_back(main: Schedule) -> None:
    assert parse_schedule(repr(main)) == main


BAD_TEXT = {
    "import": "__import__('os').system('x')",
    "import-alone": "__import__('os')",
    "lambda": "lambda t: 0.9",
    "lambda-inside": "Lambda(lambda t: 0.9)",
    "function-inside": "Lambda(print)",
    "attribute": "os.system('x')",
    "attribute-of-class": "Cosine.__init__()",
    "call-inside": "Constant(open('x'))",
    "comprehension": "MultiStep([i for i in (1, 2)])",
    "walrus": "(x := 5)",
    "arithmetic": "Constant(2 ** 99999999)",
    "star": "SGDR(*['10ep'])",
    "two-stars": "SGDR(**{'T_0': 5})",
    "unknown": "Triangular()",
    "lower-case": "cosine",
    "plan": "Plan(Cosine())",
    "warmup": "Warmup(5)",
    "empty": "",
    "syntax": "SGDR(",
    "two-statements": "Cosine(); Cosine()",
    "assignment": "a = Cosine()",
    "null-byte": "Cosine(\0)",
    "surrogate": "Cosine('\udcff')",
    "deep": "(" * 5000 + ")" * 5000,
    "deep-minus": "Constant(" + "-" * 100_000 + "1)",
    "long-number": "Constant(" + "9" * 10_000 + ")",
    "f-string": "SGDR(f'{1}ep')",
    "set-of-lists": "Constant({[]})",
    "nan": "Constant(nan)",
    "infinite": "Constant(1e999)",
    "bytes": "SGDR(b'10ep')",
    "twice": "Constant(factor=1, factor=2)",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=key) for key, text in BAD_TEXT.items()])
def test_text_that_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"[Ee]xample"):
        parse_schedule(text)


@pytest.mark.parametrize("value", [None, 5, b"Cosine()", ["Cosine()"], Cosine()])
def test_what_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"schedule = .*the text of a call.*example"):
        parse_schedule(value)


def test_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"'Triangular' is refused: it must be one of") as caught:
        parse_schedule("Triangular('2ep')")
    assert all(name in str(caught.value) for name in lightning_lrsched.schedules.__all__)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            "SGDR(T0='10ep')", r"SGDR: .*'T0', did you mean 'T_0'\? It takes T_0, T_mult, eta_min", id="keyword"
        ),
        pytest.param("Cosine(1, 2, 3)", r"Cosine: too many positional arguments\. It takes T_max", id="positional"),
        pytest.param("Step()", r"Step: missing a required argument: 'step_size'", id="missing"),
        pytest.param("Step(5, step_size=6)", r"Step: multiple values for argument 'step_size'", id="twice"),
        pytest.param("SGDR('10ep', T_mult=0.5)", r"SGDR\.T_mult = 0\.5 is refused", id="value"),
    ],
)
def test_wrong_arguments_are_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words + r"(.|\n)*example"):
        parse_schedule(text)


YAML = """
class_path: lightning_lrsched.Sequence
init_args:
  schedules:
    - class_path: lightning_lrsched.schedules.Linear
      init_args: {start_factor: 0.1, end_factor: 1.0}
    - class_path: SGDR
      init_args: {T_0: 10ep, T_mult: 2}
    - Cosine
  milestones: [2ep, 50%]
"""


def test_nested_yaml() -> None:
    parts = [Linear(start_factor=0.1, end_factor=1.0), SGDR("10ep", 2), Cosine()]
    assert from_config(yaml.safe_load(YAML)) == Sequence(parts, ["2ep", "50%"])


def _config(value: Any) -> Any:
    """Write a described part in the form of a YAML file."""
    if isinstance(value, list):
        return [_config(each) for each in value]
    if not isinstance(value, dict):
        return value
    arguments = {key: _config(each) for key, each in value.items() if key != "class"}
    return {"class_path": f"lightning_lrsched.{value['class']}", "init_args": arguments}


@given(plan=plans.filter(lambda plan: "<function" not in repr(plan)))
def test_a_plan_comes_back_from_yaml(plan: Plan) -> None:
    stored = yaml.safe_load(yaml.safe_dump(plan.to_dict()))
    for read in ({name: from_config(part) for name, part in stored.items()}, _from_class_paths(stored)):
        assert Plan(**read) == plan


def _from_class_paths(stored: dict[str, Any]) -> dict[str, Any]:
    written = yaml.safe_dump({name: part and _config(part) for name, part in stored.items()})
    return {name: from_config(part) for name, part in yaml.safe_load(written).items()}


@pytest.mark.parametrize("value", ["10ep", 500, 0.05, None, "warm", True])
def test_plain_values_stay(value: Any) -> None:
    assert from_config(value) == value


def test_arguments_alone_are_a_warmup() -> None:
    assert from_config({"duration": "5%", "shape": "cosine"}) == Warmup("5%", "cosine")
    assert from_config({"class_path": "lightning_lrsched.Cyclic", "init_args": {"step_size_up": 5}}) == Cyclic(5)
    assert from_config({"class_path": "Cosine", "init_args": None}) == Cosine()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param({"class_path": "os.system", "init_args": {"x": 1}}, "class_path = 'os.system'", id="other"),
        pytest.param({"class_path": "evil.SGDR", "init_args": {"T_0": 5}}, "class_path = 'evil.SGDR'", id="other-SGDR"),
        pytest.param({"class_path": "lightning_lrsched.Plan"}, "'Plan' is refused", id="no-schedule"),
        pytest.param({"class_path": 5}, "class_path = 5", id="number"),
        pytest.param({"class_path": None}, "class_path = None", id="none"),
        pytest.param({"class_path": "SGDR", "init_args": [5]}, "class_path and init_args", id="list"),
        pytest.param({"class_path": "SGDR", "T_0": 5}, "class_path and init_args", id="beside"),
        pytest.param({"class_path": "SGDR", "init_args": {"T0": 5}}, "SGDR: .*'T0'", id="keyword"),
        pytest.param({"class_path": "SGDR", "init_args": {"T_0": "soon"}}, r"SGDR\.T_0 = 'soon'", id="value"),
        pytest.param({"class_path": "SGDR", "init_args": {5: 5}}, "SGDR: ", id="key"),
        pytest.param({"duration": 5, "shapes": "cosine"}, "Warmup: .*'shapes'", id="warmup"),
        pytest.param({}, "Warmup: missing a required argument: 'duration'", id="empty"),
    ],
)
def test_config_that_is_refused(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.compile(words + r"(.|\n)*example")):
        from_config(value)
