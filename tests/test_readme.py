"""The commands of the README and of guides print what they say. `make demo` is run as the `mien demo` that it calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import documents
from tests.support.real_photos import RealPhotos

README = Path(__file__).parents[1] / "README.md"
STEPS = documents.steps(README)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, real_photos: RealPhotos) -> list[str]:
    """What each step printed; the demo finds its photos in the cache."""
    return documents.run(README, tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("number", range(len(STEPS)), ids=map(str, STEPS))
def test_a_command_prints_what_the_readme_says(outputs, number):
    assert documents.fits(STEPS[number], outputs[number]), documents.tidy(outputs[number])


@pytest.mark.parametrize("name", ["groups.md", "python.md"])
def test_the_commands_of_a_guide_print_what_it_says(name: str, tmp_path: Path, real_photos: RealPhotos) -> None:
    guide = README.parent / "docs" / name
    printed = documents.run(guide, tmp_path, before="mien demo --keep photos")
    steps = documents.steps(guide)
    assert steps
    assert [str(step) for step, text in zip(steps, printed, strict=True) if not documents.fits(step, text)] == []
