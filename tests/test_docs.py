"""The documents name what there is, and what they link to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import settings
from mien.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def modules_in_the_tree() -> set[str]:
    """The modules that docs/architecture.md draws, as paths below src/mien."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn, folders = set(), [""]
    for line in filter(None, re.search(r"```\nsrc/mien/\n(.*?)```", text, re.DOTALL)[1].splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        names, *_ = re.split(r"\s{3,}", line.strip())
        folders = folders[:depth]
        if names.endswith("/"):
            folders.append(folders[-1] + names)
        else:
            drawn |= {f"{folders[-1]}{name}.py" for name in names.split()}
    return drawn


def test_the_tree_of_the_architecture_is_the_tree():
    source = ROOT / "src/mien"
    assert modules_in_the_tree() == {
        path.relative_to(source).as_posix() for path in source.rglob("*.py") if not path.name.startswith("__")
    }


def test_every_file_that_the_architecture_names_exists():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./]+\.(?:py|toml))`", text))
    files = {path.as_posix() for path in ROOT.rglob("*.*") if not {".venv", "node_modules"} & set(path.parts)}
    assert {name for name in named if not any(file.endswith(f"/{name}") for file in files)} == set()


def test_the_page_of_settings_is_generated_from_the_settings():
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == settings.page(), "Run `python -m docs.settings > docs/settings.md`."


def test_every_setting_has_a_row():
    assert settings.MEANINGS.keys() == settings.names()
    assert sorted(" ".join(settings.GROUPS.values()).split()) == sorted(settings.names())


def test_the_changelog_names_every_command():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    names = {function.__name__.replace("_", "-") for functions in COMMANDS.values() for function in functions}
    assert {name for name in names if f"`{name}`" not in changes} == set()
