"""The commands of docs/rest-api.md print what it says; the photos that it speaks of are of somebody known."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests import documents

DOCUMENT = Path(__file__).parents[1] / "docs" / "rest-api.md"
STEPS = documents.steps(DOCUMENT)

pytestmark = pytest.mark.photos


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, lfw_dev: Path) -> list[str]:
    """What each step printed."""
    home = tmp_path_factory.mktemp("home")
    alice = sorted((lfw_dev / "Robert_De_Niro").iterdir())
    for name, photo in zip(("alice", "alice2", "alice3"), alice, strict=False):
        (home / f"{name}.jpg").write_bytes(photo.read_bytes())
    stranger = next((lfw_dev / "Venus_Williams").iterdir())
    (home / "group.jpg").write_bytes(side_by_side(alice[3], stranger))
    return documents.run(DOCUMENT, home)


def side_by_side(left: Path, right: Path) -> bytes:
    images = [Image.open(left), Image.open(right)]
    group = Image.new("RGB", (sum(image.width for image in images), max(image.height for image in images)))
    group.paste(images[0], (0, 0))
    group.paste(images[1], (images[0].width, 0))
    buffer = BytesIO()
    group.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("number", range(len(STEPS)), ids=map(str, STEPS))
def test_a_command_prints_what_the_document_says(outputs: list[str], number: int) -> None:
    assert documents.fits(STEPS[number], outputs[number]), documents.tidy(outputs[number])


def test_every_command_of_the_document_is_run() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert sum(line.lstrip("$ ").startswith("curl ") for line in text.splitlines()) == sum(
        step.command.startswith("curl ") for step in STEPS
    )
