"""The wheel and the source distribution hold what they should, and work in an environment without anything else."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests import documents
from tests.support.real_photos import RealPhotos

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="hatchling is in the group `build`")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "--directory", folder], cwd=ROOT, check=True)
    return folder


def test_the_program_says_the_version_that_pyproject_declares() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert version("mien") == declared


def test_the_wheel_holds_the_package_with_its_pages_and_nothing_else(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src/mien").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in held if name.startswith("mien/")} == sources
    assert {name.partition("/")[0].rpartition(".")[2] for name in held - sources} == {"dist-info"}


def test_the_source_distribution_has_tests_and_documents(dist: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "deploy/Dockerfile", "tests/conftest.py"} <= names


def test_a_wheel_in_an_empty_environment_does_what_the_readme_says(
    dist: Path, tmp_path: Path, real_photos: RealPhotos
) -> None:
    (wheel,) = dist.glob("*.whl")
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [environment / "bin" / "pip", "install", "--quiet"]
    subprocess.run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", ROOT / "locks" / "run.txt"], check=True)
    subprocess.run([*pip, "--no-deps", wheel], check=True)
    home = tmp_path / "home"
    home.mkdir()
    env = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    shown = subprocess.run([environment / "bin" / "mien", "--version"], capture_output=True, env=env, check=True)
    assert shown.stdout.decode().strip() == f"mien {version('mien')}"
    readme = ROOT / "README.md"
    outputs = documents.run(readme, home, mien=[str(environment / "bin" / "mien")])
    steps = zip(documents.steps(readme), outputs, strict=True)
    without_boto3 = [(step, output) for step, output in steps if not step.command.startswith("python ")]
    assert [(str(step), output) for step, output in without_boto3 if not documents.fits(step, output)] == []
