"""Imports point inwards, and nobody pays for a library that they do not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"numpy", "cv2", "openvino", "llvmlite", "onnx", "PIL", "scipy"}
LAMBDAS = sorted(path.stem for path in (ROOT / "src/mien/lambdas").glob("*.py") if not path.stem.startswith("_"))


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after the statement."""
    script = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    environment = {"AWS_DEFAULT_REGION": "eu-central-1", "POWERTOOLS_TRACE_DISABLED": "1", "POWERTOOLS_DEV": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=True, env=environment
    )
    return set(done.stdout.split())


def test_imports_point_inwards():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout


def test_importing_the_package_loads_no_library():
    assert not loaded_by("import mien") & (HEAVY | {"boto3", "botocore", "pydantic", "fastapi", "typer"})


def test_help_loads_no_library_of_recognition():
    assert not loaded_by("import mien.cli.main") & (HEAVY | {"boto3", "botocore", "fastapi", "uvicorn"})


@pytest.mark.parametrize("entry_point", LAMBDAS)
def test_a_function_on_aws_starts_without_the_engine(entry_point):
    assert not loaded_by(f"import mien.lambdas.{entry_point}") & HEAVY


@pytest.mark.parametrize("package", ["domain", "app", "security"])
def test_the_core_stands_alone(package):
    modules = [f"mien.{package}.{path.stem}" for path in (ROOT / "src/mien" / package).glob("[!_]*.py")]
    assert modules
    loaded = loaded_by(f"import {', '.join(modules)}")
    assert not loaded & (HEAVY | {"boto3", "pydantic", "fastapi", "typer", "rich"})


def test_one_backend_does_not_load_the_other():
    assert "boto3" not in loaded_by("import mien.backends.embedded.backend")
    assert not loaded_by("import mien.backends.aws") & HEAVY
