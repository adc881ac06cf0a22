"""What is installed is bounded in pyproject.toml, pinned in locks/, and verified by hashes wherever it is fetched."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT, GROUPS = PYPROJECT["project"], PYPROJECT["dependency-groups"]
LEADS_TO = {
    "run": [*PROJECT["dependencies"], *GROUPS["build"]],
    "dev": [
        *PROJECT["dependencies"],
        *(text for extra in PROJECT["optional-dependencies"].values() for text in extra),
        *GROUPS["build"],
        *GROUPS["dev"],
    ],
    "sam": [*GROUPS["sam"], *GROUPS["build"]],
    "stack": [*GROUPS["stack"], *GROUPS["build"]],
} | {name: GROUPS[name] for name in ("bench", "checkov", "lambda", "ministack", "docs")}
"""The requirements that infra/lock.sh resolves into each lock."""

PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(\[[^]]*])?==(?P<version>\S+)(?: ; (?P<marker>[^\\\n]+))?"
    r"(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})*)\n    # via (?P<via>.*)$",
    re.MULTILINE,
)


def lock(name: str) -> str:
    return (ROOT / "locks" / f"{name}.txt").read_text("utf-8")


def pins(name: str) -> dict[str, set[Version]]:
    """The versions of each package: several where Python versions need different ones."""
    found: dict[str, set[Version]] = {}
    for pin in PIN.finditer(lock(name)):
        found.setdefault(canonicalize_name(pin["name"]), set()).add(Version(pin["version"]))
    return found


def names(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def test_every_lock_is_known() -> None:
    assert {path.stem for path in (ROOT / "locks").iterdir()} == LEADS_TO.keys()


@pytest.mark.parametrize("name", LEADS_TO)
def test_a_lock_fits_pyproject(name: str) -> None:
    pinned = pins(name)
    drifted = [
        text
        for text in LEADS_TO[name]
        if not (versions := pinned.get(canonicalize_name((wanted := Requirement(text)).name)))
        or not all(version in wanted.specifier for version in versions)
    ]
    assert drifted == [], "run `make lock`"
    asked_for = {canonicalize_name(pin["name"]) for pin in PIN.finditer(lock(name)) if "pyproject" in pin["via"]}
    assert asked_for == names(LEADS_TO[name]), "run `make lock`"


@pytest.mark.parametrize("name", LEADS_TO)
def test_a_lock_is_pins_with_hashes_and_nothing_else(name: str) -> None:
    text = lock(name)
    assert all(pin["hashes"] for pin in PIN.finditer(text))
    assert re.sub(r"^#.*\n", "", PIN.sub("", text), flags=re.MULTILINE).strip() == ""
    assert "://" not in text


@pytest.mark.parametrize("name", ["run", "bench", "lambda", "stack"])
def test_what_is_tested_is_what_runs(name: str) -> None:
    tested = pins("dev")
    shared = {package: versions for package, versions in pins(name).items() if package in tested}
    assert shared == {package: tested[package] for package in shared}


def test_every_dependency_has_an_upper_bound() -> None:
    groups = {**PROJECT["optional-dependencies"], **GROUPS, "build-system": PYPROJECT["build-system"]["requires"]}
    for choice in ("lambda", "stack"):  # of the dependencies
        del groups[choice]
    everything = [*PROJECT["dependencies"], *(text for group in groups.values() for text in group)]
    assert [text for text in everything if not re.search("<|==", text)] == []


def test_make_fetches_nothing_without_hashes() -> None:
    calls = re.findall(r"pip (?:install|\$\(LOCKED\))[^&\n]*", (ROOT / "Makefile").read_text("utf-8"))
    assert len(calls) >= 5
    assert [call for call in calls if not re.search("--require-hashes|LOCKED|--no-deps", call)] == []


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_workflows_use_actions_by_their_commit(workflow: Path) -> None:
    """A tag can be moved to other code, which would publish releases with this project's rights."""
    actions = re.findall(r"uses: *(.+)", workflow.read_text("utf-8"))
    assert actions
    assert [action for action in actions if not re.fullmatch(r"\S+@[0-9a-f]{40} # v[0-9.]+", action)] == []
