"""Imports point inwards, and nobody pays for a library that they do not use."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"numpy", "cv2", "llvmlite", "onnx", "PIL", "scipy"}
LAMBDAS = sorted(path.stem for path in (ROOT / "src/mien/lambdas").glob("*.py") if not path.stem.startswith("_"))


MODULES = {
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "src").rglob("*.py")
}


def statements_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported: no function bodies, nothing under TYPE_CHECKING."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from statements_at_import(statement.orelse)
            continue
        for name in ("body", "orelse", "finalbody"):
            yield from statements_at_import(getattr(statement, name, []))
        for handler in getattr(statement, "handlers", []):
            yield from statements_at_import(handler.body)


def imported_modules(path: Path) -> set[str]:
    """Return the modules of Mien that a module imports when it is imported itself."""
    imported = set()
    for statement in statements_at_import(ast.parse(path.read_text("utf-8")).body):
        if isinstance(statement, ast.Import):
            imported |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            names = {f"{statement.module}.{alias.name}" for alias in statement.names}
            imported |= {name if name in MODULES else str(statement.module) for name in names}
    return imported & MODULES.keys()


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after the statement."""
    script = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    environment = {
        "PYTHONPATH": str(ROOT / "src"),
        "AWS_DEFAULT_REGION": "eu-central-1",
        "POWERTOOLS_DEV": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=True, env=environment
    )
    return set(done.stdout.split())


def test_imports_point_inwards():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout


def test_no_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter({module: imported_modules(path) for module, path in MODULES.items()}).prepare()
    except CycleError as error:
        pytest.fail(f"Import circle: {' <- '.join(error.args[1])}")


def test_function_bodies_and_type_checking_imports_are_no_part_of_a_circle(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import mien.config\n"
        "from mien.app import ports\n"
        "from mien.domain.errors import MienError\n"
        "if TYPE_CHECKING:\n    import mien.engine\n"
        "def later():\n    import mien.gallery\n"
        "try:\n    import mien.security\nexcept ImportError:\n    import mien.api\n"
    )
    assert imported_modules(path) == {
        "mien.config",
        "mien.app.ports",
        "mien.domain.errors",
        "mien.security",
        "mien.api",
    }


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
