"""Configuration files: read safely, unknown keys and secrets refused by name."""

from pathlib import Path

import pytest
import yaml

from lightning_lrsched import MLflowTracker
from lightning_lrsched.configs import ClassPath, ConfigError, load_document, load_server, load_yaml
from lightning_lrsched.sweep import combinations, load_sweep

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "mlflow_configs"
SECRET = "s3cr3tw0rd"


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_file_of_the_folder_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    for path in CONFIGS.glob("*.yaml"):
        if path.name.startswith("sweep-"):
            assert combinations(load_sweep(path)), path
        else:
            assert MLflowTracker.from_config(path).tracking_uri, path
    assert load_server(CONFIGS / "server.yaml").database.startswith("postgresql+psycopg2://")


def test_the_keys_are_the_trackers_parameters(tmp_path: Path) -> None:
    text = "tracking_uri: sqlite:///here.db\nexperiment: digits\nflush_timeout: 1e1\nlog_checkpoints: false\n"
    tracker = MLflowTracker.from_config(written(tmp_path, text))
    assert (tracker.tracking_uri, tracker.experiment) == ("sqlite:///here.db", "digits")
    assert (tracker.flush_timeout, tracker.log_checkpoints) == (10.0, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("experimnt: a", "unknown key 'experimnt'. Did you mean 'experiment'? Valid keys: ", id="typo"),
        pytest.param("wholly: 1", r"unknown key 'wholly'\. Valid keys: tracking_uri, experiment", id="unknown key"),
        pytest.param("experiment: 7", "MLflowTracker.experiment = 7 is refused", id="type"),
        pytest.param("flush_timeout: -1", "flush_timeout = -1 is refused: it must be a finite number at", id="range"),
        pytest.param("- a", "holds no keys with values. For example", id="list"),
        pytest.param("", "holds no keys with values", id="empty"),
        pytest.param("1: a", "holds no keys with values", id="number as a key"),
        pytest.param("experiment: a\nexperiment: b", "the key 'experiment' stands twice (line 2", id="twice"),
        pytest.param("experiment: [a", "is no YAML: ", id="no YAML"),
        pytest.param("experiment: !!python/object/apply:os.getcwd []", "is no YAML: ", id="code"),
        pytest.param("server: {port: 1}", "server: database must be given", id="missing key"),
        pytest.param("server: {prt: 1}", "server: unknown key 'prt'. Did you mean 'port'?", id="section"),
        pytest.param("server: 5", "server: 5 is not a section", id="no section"),
    ],
)
def test_a_mistake_is_named_with_what_is_valid(text: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=message.replace("(", r"\(").replace("?", r"\?")) as caught:
        MLflowTracker.from_config(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["there_is_none.yaml", "."])
def test_a_file_that_cannot_be_read_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        MLflowTracker.from_config(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        f"tracking_uri: http://ann:{SECRET}@127.0.0.1:5000",
        f"tracking_uri: postgresql+psycopg2://ann:{SECRET}@127.0.0.1/mlflow",
        f"tracking_uri: postgresql://127.0.0.1/mlflow?user=ann&password={SECRET}",
        f"server: {{database: 'postgresql+psycopg2://ann:{SECRET}@127.0.0.1/mlflow'}}",
        f"password: {SECRET}",
        f"tracking_password: {SECRET}",
        f"data: {{init_args: {{hub_token: {SECRET}}}}}",
        f"data: {{init_args: {{keys: [{{api_key: {SECRET}}}]}}}}",
        f"http://ann:{SECRET}@127.0.0.1: 1",
        f"tracking_uri: [http://ann:{SECRET}@127.0.0.1:5000\n  : {{",
    ],
)
def test_a_secret_in_a_file_is_refused_and_not_repeated(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    for read in (MLflowTracker.from_config, load_sweep, load_server):
        with pytest.raises(ConfigError) as caught:
            read(path)
        told: BaseException | None = caught.value
        while told is not None:
            assert SECRET not in str(told)
            told = told.__cause__


def test_what_only_looks_like_a_secret_is_allowed(tmp_path: Path) -> None:
    text = "uri: postgresql://mlflow@127.0.0.1/mlflow\ntokens: many\ntoken: 5\nnote: ann@example.org\npassword: null\n"
    assert load_document(written(tmp_path, text)) == yaml.safe_load(text)


def test_numbers_are_read_as_lightning_cli_reads_them(tmp_path: Path) -> None:
    assert load_yaml(written(tmp_path, "a: 1e-5\nb: 1_0e2\nc: 5ep\nd: '1e5'")) == {
        "a": 1e-5,
        "b": 1000.0,
        "c": "5ep",
        "d": "1e5",
    }


@pytest.mark.parametrize(
    ("port", "message"),
    [
        ("server: {database: 'postgresql://m@h/d'}", "begins postgresql+psycopg2"),
        ("server: {port: 0, database: postgresql+psycopg2://m@h/d}", "server.port = 0 is refused"),
        ("server: {workers: 1.5, database: postgresql+psycopg2://m@h/d}", "workers = 1.5 is refused"),
        ("server: {host: 5, database: postgresql+psycopg2://m@h/d}", "host = 5 is refused"),
        ("experiment: a", "has no section 'server'. For example"),
    ],
)
def test_a_server_that_cannot_be_started_is_refused(port: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message.replace("+", r"\+")):
        load_server(written(tmp_path, port))


@pytest.mark.parametrize(
    ("path", "arguments", "message"),
    [
        ("Digits", {}, "an import path with its module"),
        ("os; import sys", {}, "an import path such as"),
        ("no_such_package.Digits", {}, "importable, and No module named 'no_such_package'"),
        ("json.Digits", {}, "in json, which has no Digits"),
        ("json.dumps", {}, "a class, not a function"),
        ("json.JSONDecoder", {"wide": 1}, r"json.JSONDecoder: got an unexpected keyword argument 'wide'. It takes"),
    ],
)
def test_a_class_path_says_what_is_wrong_before_anything_is_made(
    path: str, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ClassPath(path, arguments).check()


def test_a_module_that_lacks_something_itself_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lacking_module.py").write_text("import no_such_thing", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_thing"):
        ClassPath("lacking_module.Digits").check()
