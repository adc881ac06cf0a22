"""The documents name what there is, and what they link to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mien.cli.main import VERBS

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


def test_the_modules_of_engine_and_gallery_that_are_named_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for package in ("engine", "gallery"):
        section = re.search(rf"^  {package}/ .*\n((?:    .*\n)+)", text, re.MULTILINE)[1]
        named = {name for line in section.splitlines() for name in line[4:58].split() if not name.endswith("/")}
        modules = {path.stem for path in (ROOT / "src/mien" / package).glob("[!_]*.py")}
        assert named <= modules, package


def test_the_changelog_names_every_verb():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    verbs = {function.__name__ for functions in VERBS.values() for function in functions}
    assert {verb for verb in verbs if f"`{verb}`" not in changes} == set()


def test_the_makefile_has_at_most_ten_one_line_targets():
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    targets = [line for line in lines if re.match(r"[a-z][a-z-]*:", line)]
    assert 0 < len(targets) <= 10
    assert all(";" in target for target in targets)
