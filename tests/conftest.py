"""Options and summaries of the whole suite, and the store that its stores are copied from."""

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

SUITE = settings(settings.get_profile("default"), deadline=None)  # the first call of an example imports and compiles
settings.register_profile("suite", SUITE)
settings.register_profile("ci", SUITE, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "suite")  # what CI tries is the same each time

VECTORS = Path(__file__).parent / "golden" / "vectors"
OUTCOMES = {
    "by function": "of these as a Lambda with the peer's formula",
    "differs": "differs on purpose",
}
MAY_SKIP = (OUTCOMES["differs"], "no small disk")  # the latter takes a right that not every root has
PATIENCE = 5.0  # seconds that a thread has to end after its test


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Fail a test after which a thread of the tracker still runs: it would write while another test looks."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + PATIENCE
    started = [each for each in threading.enumerate() if each.name.startswith("lrsched-") and each not in before]
    for thread in started:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in started if thread.is_alive()]
    assert not left, f"still running {PATIENCE:g} s after the test: {left}"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty sqlite store with all its tables: MLflow takes a second to make them."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


def copied(migrated: Path, folder: Path) -> str:
    """Copy the empty store into a folder and return its URI."""
    shutil.copy(migrated, folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare where the golden vectors lie."""
    parser.addoption(
        "--golden-dir",
        type=Path,
        default=VECTORS,
        metavar="DIR",
        help="folder of JSON files with golden lr values of the peers (default: tests/golden/vectors)",
    )
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail what is skipped for want of something that can be installed, a PostgreSQL for example",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail what is skipped where nothing may be."""
    report = yield
    if (
        report.skipped
        and item.config.getoption("--no-skips")
        and not any(reason in str(report.longrepr) for reason in MAY_SKIP)
    ):
        report.outcome = "failed"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many golden vectors were compared, and name every one that was not."""
    found: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for key, value in getattr(report, "user_properties", ()) if getattr(report, "when", "") == "call" else ():
                if key.startswith("golden "):
                    found.setdefault(key.removeprefix("golden "), Counter())[str(value)] += 1
    if not found:
        return
    parts = [f"{sum(found.get('compared', Counter()).values())} compared"]
    for key, words in OUTCOMES.items():
        names = found.get(key, Counter())
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(names.items()))
        parts.append(f"{sum(names.values())} {words}{': ' if listed else ''}{listed}")
    terminalreporter.section("golden vectors")
    terminalreporter.write_line("golden vectors: " + parts[0])
    for part in parts[1:]:
        terminalreporter.write_line("  " + part)
