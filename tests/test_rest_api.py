"""The commands of docs/rest-api.md print what it says; the photos that it speaks of are painted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import documents
from tests.support.painter import photo_of, photos_of
from tests.support.process import MIEN_ON_FAKE_ENGINE

DOCUMENT = Path(__file__).parents[1] / "docs" / "rest-api.md"
STEPS = documents.steps(DOCUMENT)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each step printed."""
    home = tmp_path_factory.mktemp("home")
    for name, photo in zip(("alice", "alice2", "alice3"), photos_of("Robert"), strict=False):
        (home / f"{name}.jpg").write_bytes(photo)
    (home / "group.jpg").write_bytes(photo_of("Venus", "Robert", photo=3))
    return documents.run(DOCUMENT, home, MIEN_ON_FAKE_ENGINE)


@pytest.mark.parametrize("number", range(len(STEPS)), ids=map(str, STEPS))
def test_a_command_prints_what_the_document_says(outputs: list[str], number: int) -> None:
    assert documents.fits(STEPS[number], outputs[number]), documents.tidy(outputs[number])


def test_every_command_of_the_document_is_run() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert sum(line.lstrip("$ ").startswith("curl ") for line in text.splitlines()) == sum(
        step.command.startswith("curl ") for step in STEPS
    )
