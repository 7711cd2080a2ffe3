"""Schedules written as text and as YAML: what is read, what is refused, and that nothing is executed."""

import re
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from torch.optim import SGD, lr_scheduler

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
    TorchScheduler,
    Warmup,
)
from lightning_lrsched.expression import from_config, main_from_config, parse_part, parse_schedule
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


@pytest.mark.parametrize(
    ("text", "written"),
    [
        pytest.param("StepLR(30)", "TorchScheduler(partial(StepLR, step_size=30))", id="positional"),
        pytest.param("StepLR(30, gamma=0.5)", "TorchScheduler(partial(StepLR, step_size=30, gamma=0.5))", id="both"),
        pytest.param("PolynomialLR", "TorchScheduler(partial(PolynomialLR))", id="name"),
        pytest.param(
            "TorchScheduler(MultiStepLR([30, 60]), interval='step')",
            "TorchScheduler(partial(MultiStepLR, milestones=[30, 60]), interval='step')",
            id="interval",
        ),
        pytest.param("Plateau('loss', patience=3)", "Plateau(monitor='loss', patience=3)", id="plateau"),
    ],
)
def test_schedulers_of_torch(text: str, written: str) -> None:
    main = parse_schedule(text)
    assert repr(main) == written
    assert repr(parse_schedule(written)) == written


REQUIRED = {
    "StepLR": "step_size=2",
    "MultiStepLR": "milestones=[1, 3]",
    "ExponentialLR": "gamma=0.9",
    "CosineAnnealingLR": "T_max=4",
    "CosineAnnealingWarmRestarts": "T_0=2",
    "CyclicLR": "base_lr=0.01, max_lr=0.1",
    "OneCycleLR": "max_lr=0.1, total_steps=9",
}
CODE = {"LambdaLR": "lr_lambda", "MultiplicativeLR": "lr_lambda", "SequentialLR": "schedulers", "ChainedScheduler": ""}
KINDS = {name for name in lr_scheduler.__all__ if issubclass(getattr(lr_scheduler, name), lr_scheduler.LRScheduler)}


@pytest.mark.parametrize("name", sorted(KINDS - set(CODE) - {"LRScheduler", "ReduceLROnPlateau"}))
def test_every_scheduler_of_torch_that_text_can_hold(name: str) -> None:
    main = parse_schedule(f"{name}({REQUIRED.get(name, '')})")
    assert isinstance(main, TorchScheduler)
    assert type(main.make(SGD([torch.zeros(1)], lr=0.1))) is getattr(lr_scheduler, name)


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize("arguments", ["()", "(5)", "(print)", "([StepLR(3)])"])
def test_schedulers_of_torch_that_hold_code_are_for_python(name: str, arguments: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' .* in Python, because text cannot hold its {CODE[name]}.*example"):
        parse_schedule(f"{name}{arguments}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("StepL(30)", r"'StepL' .* StepLR, .*did you mean StepLR\?", id="misspelt"),
        pytest.param("SGRD('10ep')", r"did you mean SGDR\?", id="misspelt, ours"),
        pytest.param("StepLR(step=3)", r"'step', did you mean 'step_size'\? It takes step_size, gamma", id="keyword"),
        pytest.param("StepLR()", r"StepLR: missing .*'step_size'. It takes step_size, gamma", id="missing"),
        pytest.param("StepLR(optimizer, 30)", r"'optimizer' is refused: it must be left out", id="optimizer"),
        pytest.param("LRScheduler()", "'LRScheduler' is refused", id="base class"),
        pytest.param("ReduceLROnPlateau()", "written as Plateau, .* cannot be drawn", id="plateau"),
        pytest.param("Optimizer()", "'Optimizer' is refused", id="another name of torch's module"),
        pytest.param("partial(Cosine)", "'partial' is refused", id="partial of ours"),
        pytest.param("partial(StepLR, 30)", "'partial' is refused", id="partial by position"),
        pytest.param("partial(print)", "'print' is refused", id="partial of anything"),
        pytest.param("TorchScheduler(print)", "'print' is refused", id="function"),
        pytest.param("TorchScheduler(5)", r"TorchScheduler\.factory = 5 is refused", id="no factory"),
        pytest.param("TorchScheduler(StepLR(3), 'steps')", r"TorchScheduler\.interval = 'steps'", id="interval"),
        pytest.param("TorchScheduler(StepLR(3), intervall='step')", "did you mean 'interval'", id="ours, keyword"),
        pytest.param("Sequence([StepLR(3), Cosine()], [5])", r"Sequence\.schedules\[0\] = .*StepLR", id="inside ours"),
    ],
)
def test_schedulers_of_torch_that_are_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.compile(words + r"(.|\n)*example")):
        parse_schedule(text)


def driven(factory: Any, **more: Any) -> dict[str, Any]:
    return {"class_path": "lightning_lrsched.TorchScheduler", "init_args": {"factory": factory, **more}}


@pytest.mark.parametrize("path", ["torch.optim.lr_scheduler.StepLR", "StepLR"])
def test_schedulers_of_torch_in_yaml(path: str) -> None:
    written = driven({"class_path": path, "init_args": {"step_size": 3, "gamma": 0.5}}, interval="step")
    main = main_from_config(yaml.safe_load(yaml.safe_dump(written)))
    assert repr(main) == "TorchScheduler(partial(StepLR, step_size=3, gamma=0.5), interval='step')"


@pytest.mark.parametrize("path", ["torch.optim.lr_scheduler.PolynomialLR", "PolynomialLR"])
def test_a_factory_without_arguments_may_be_a_name(path: str) -> None:
    assert repr(main_from_config(driven(path))) == "TorchScheduler(partial(PolynomialLR))"
    assert repr(main_from_config("Plateau")) == "Plateau()"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(driven({"class_path": "os.system"}), "class_path = 'os.system' is refused", id="other"),
        pytest.param(driven("tests.modules.SmallModule"), "'tests.modules.SmallModule' is refused", id="other name"),
        pytest.param(driven("evil.StepLR"), "class_path = 'evil.StepLR'", id="other StepLR"),
        pytest.param(driven("torch.optim.StepLR"), "class_path = 'torch.optim.StepLR'", id="another place"),
        pytest.param(driven("torch.optim.lr_scheduler.SGDR"), "lr_scheduler.SGDR' is refused", id="SGDR of torch"),
        pytest.param(driven("lightning_lrsched.StepLR"), "'lightning_lrsched.StepLR' is refused", id="StepLR of ours"),
        pytest.param(driven("torch.optim.lr_scheduler.StepL"), r"did you mean StepLR\?", id="misspelt"),
        pytest.param(driven("torch.optim.lr_scheduler.warnings"), "warnings' is refused", id="no class"),
        pytest.param(driven("torch.optim.lr_scheduler.LambdaLR"), "cannot hold its lr_lambda", id="code"),
        pytest.param(driven({"class_path": "StepLR", "init_args": {"step": 3}}), "StepLR: .*'step_size'", id="keyword"),
        pytest.param(driven("Cosine"), r"TorchScheduler\.factory = Cosine\(\) is refused", id="planned"),
        pytest.param({"class_path": "StepLR", "init_args": {"step_size": 3}}, "the factory of a Torch", id="alone"),
        pytest.param("Cosin", r"main = 'Cosin' is refused.*did you mean Cosine\?", id="name"),
        pytest.param(5, "main = 5 is refused", id="number"),
        pytest.param({"duration": 5}, r"main = \{'duration': 5\} is refused", id="warmup"),
    ],
)
def test_main_schedules_that_are_refused(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.compile(words + r"(.|\n)*example")):
        main_from_config(value)


def test_parts() -> None:
    assert parse_part("5%") == "5%"
    assert parse_part("Warmup('5%', shape='cosine')") == Warmup("5%", "cosine")
    assert parse_part("Cooldown(10)") == Cooldown(10)


@given(main=schedules.filter(lambda main: "lr_lambda=" not in repr(main)))
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
        pytest.param("SGDR(T_0=10ep)", r"quotes around a length that has a unit", id="unquoted"),
        pytest.param("MultiStep(30, 60)", r"milestones = 30 .* a list of durations, at least one\.", id="no list"),
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


@given(plan=plans.filter(lambda plan: "lr_lambda=" not in repr(plan)))
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
