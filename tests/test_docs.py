"""The documents name what there is, and what they link to exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from docs import cli, settings
from mien.cli.main import COMMANDS, app
from mien.domain.policy import MAX_FACES_PER_PHOTO

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_site_has_no_links_to_what_is_not_in_it():
    links = {
        (path.name, link)
        for path in (ROOT / "docs").glob("*.md")
        for link in re.findall(r"\]\((\.\./[^)]+)\)", path.read_text(encoding="utf-8"))
    }
    assert links == set()


def test_the_api_page_tells_how_many_faces_of_a_photo_are_looked_at():
    text = (ROOT / "docs" / "rest-api.md").read_text(encoding="utf-8")
    assert f"the {MAX_FACES_PER_PHOTO} largest faces are looked at" in text


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


def test_the_page_of_the_command_line_is_generated_from_the_help():
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == cli.page(), "Run `python -m docs.cli > docs/cli.md`."


def command_lines(document: Path) -> list[list[str]]:
    """The calls of `mien` in a document's blocks of code, as words."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    calls = [re.match(r"(?:[$#] )?(?:\S*/bin/)?mien (.*)$", line) for line in lines]
    return [shlex.split(re.split(r" [|&>]", call[1])[0], comments=True) for call in calls if call]


def options(command: Any) -> set[str]:
    return {option for param in command.params for option in (*param.opts, *param.secondary_opts)} | {"--help"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_call_commands_and_options_that_exist(document):
    for words in command_lines(document):
        command, rest = typer.main.get_command(app), words
        known = options(command)
        while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
            command, rest = command.get_command(None, rest[0]), rest[1:]
            assert command is not None, words
            known |= options(command)
        assert {word.partition("=")[0] for word in rest if word.startswith("-") and word != "-"} <= known, words


def test_every_page_is_in_the_index_of_the_site():
    pages = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    listed = re.findall(r"[\w-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2])
    assert sorted(listed) == pages


def test_the_changelog_names_every_command():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    names = {function.__name__.replace("_", "-") for functions in COMMANDS.values() for function in functions}
    assert {name for name in names if f"`{name}`" not in changes} == set()
