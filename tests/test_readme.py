"""The README's commands print what it says. `make demo` is run as the `mien demo` that it calls."""

from __future__ import annotations

from pathlib import Path

import pytest
from platformdirs import user_cache_path

from mien.demo.photos import demo_photos
from mien.domain.errors import SetupError
from tests import documents

README = Path(__file__).parents[1] / "README.md"
STEPS = documents.steps(README)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each step printed."""
    try:
        demo_photos(user_cache_path("mien") / "demo")
    except SetupError as error:
        pytest.skip(str(error))
    return documents.run(README, tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("number", range(len(STEPS)), ids=map(str, STEPS))
def test_a_command_prints_what_the_readme_says(outputs, number):
    assert documents.fits(STEPS[number], outputs[number]), documents.tidy(outputs[number])


def test_the_readme_has_the_promised_length():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 160
