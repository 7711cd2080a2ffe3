"""The wheel and the sdist hold what they should, and nothing else."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lightning_lrsched"
NOT_SHIPPED = ("__pycache__", ".pyc", ".db", ".ckpt", "mlruns", "lightning_logs", ".venv", ".git/")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return folder


def test_the_wheel_holds_the_package_alone(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert names == {path.relative_to(ROOT).as_posix() for path in wanted}
    assert "lightning_lrsched/py.typed" in names
    assert wheel.stat().st_size < 500_000


def test_the_sdist_holds_what_a_test_run_needs(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    for needed in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md"):
        assert needed in names
    for folder in ("lightning_lrsched", "tests", "examples", "mlflow_configs", "docs"):
        assert any(name.startswith(f"{folder}/") for name in names), folder
    assert not [name for name in names for part in NOT_SHIPPED if part in name]
    assert sdist.stat().st_size < 10_000_000


def test_the_citation_has_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    assert citation["authors"] == [{"name": "The lightning-lrsched authors"}]
