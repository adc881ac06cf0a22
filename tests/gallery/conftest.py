from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mien.gallery import Gallery
from tests.gallery.faces import MODEL


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    """A gallery with one empty collection, "people"."""
    with closing(Gallery(tmp_path, MODEL)) as opened:
        opened.collections.create("people")
        yield opened
