"""The documents name what there is, and what they link to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mien.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_tree_of_the_architecture_is_the_tree():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = re.search(r"```\nsrc/mien/\n(.*?)```", text, re.DOTALL)[1]
    folders = {path.name for path in (ROOT / "src/mien").rglob("*") if (path / "__init__.py").is_file()}
    modules = {path.stem for path in (ROOT / "src/mien").rglob("*.py")}
    assert set(re.findall(r"(\w+)/", tree)) <= folders
    assert {path.name for path in (ROOT / "src/mien").iterdir() if (path / "__init__.py").is_file()} <= set(
        re.findall(r"(\w+)/", tree)
    )
    assert set(re.findall(r"(\w+)\.py", tree)) <= modules
    assert {p.stem for p in (ROOT / "src/mien").glob("[!_]*.py")} <= set(re.findall(r"(\w+)\.py", tree))


def test_the_changelog_names_every_command():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    names = {function.__name__.replace("_", "-") for functions in COMMANDS.values() for function in functions}
    assert {name for name in names if f"`{name}`" not in changes} == set()
