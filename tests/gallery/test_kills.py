"""`kill -9` at any moment of adding, deleting, training and compacting: what was answered survives.

Ten kills as a rule; `MIEN_TEST_KILLS=100 pytest -m slow tests/gallery/test_kills.py` makes it a hundred.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mien.gallery import Gallery
from tests.gallery.faces import Vectors
from tests.gallery.killed_writer import BATCH, PEOPLE, open_small, vectors

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("MIEN_TEST_KILLS", "10"))
PER_GALLERY = 10
MOMENTS = {"adding": 10, "deleting": 10, "compacting": 60}
"""The kill comes after at most this many lines of that kind, and up to some milliseconds later."""


class Known:
    """The state that the killed processes have answered."""

    def __init__(self) -> None:
        self.alive: dict[str, Vectors] = {}
        self.gone: set[str] = set()
        self.adding: int | None = None
        self.deleting: set[str] = set()

    def hear(self, line: str) -> None:
        verb, *words = line.split()
        if verb == "adding":
            self.adding = int(words[0])
        elif verb == "added":
            self.adding = None
            self.alive |= dict(zip(words[1:], vectors(int(words[0])), strict=True))
        elif verb == "deleting":
            self.deleting = set(words)
        elif verb == "deleted":
            self._forget(self.deleting)

    def settle(self, gallery: Gallery) -> None:
        """Adopt what was in progress at the kill: it happened completely or not at all."""
        stored = {found.face_id for found in gallery.faces.list(PEOPLE).items}
        assert self.deleting <= stored or not self.deleting & stored
        self._forget(self.deleting - stored)
        new = [found.face_id for found in gallery.faces.list(PEOPLE).items if found.face_id not in self.alive]
        assert len(new) == 0 or (len(new) == BATCH and self.adding is not None)
        if new and self.adding is not None:
            self.alive |= dict(zip(new, vectors(self.adding), strict=True))
        assert stored == self.alive.keys()
        self.adding, self.deleting = None, set()

    def _forget(self, ids: set[str]) -> None:
        for face_id in ids:
            del self.alive[face_id]
        self.gone |= ids
        self.deleting = set()


@pytest.mark.parametrize("seed", range(-(-KILLS // PER_GALLERY)))
def test_a_kill_loses_no_stored_face_and_revives_no_deleted_one(tmp_path: Path, seed: int) -> None:
    with closing(open_small(tmp_path)) as gallery:
        gallery.collections.create(PEOPLE)
    chance, known = random.Random(seed), Known()
    for number in range(min(PER_GALLERY, KILLS)):
        for line in _killed(tmp_path, 1 + 1000 * number, chance):
            known.hear(line)
        with closing(open_small(tmp_path)) as gallery:
            gallery.check()
            known.settle(gallery)
            _answers_agree(gallery, known)
            gallery.compact(PEOPLE)
            _answers_agree(gallery, known)
        assert not list((tmp_path / "index").rglob("building-*"))


def _killed(folder: Path, first: int, chance: random.Random) -> list[str]:
    """Return the complete lines of a process that is killed at a random moment."""
    verb = chance.choice(list(MOMENTS))
    left = chance.randint(1, MOMENTS[verb])
    later = chance.uniform(0.0, 0.004)
    command = [sys.executable, "-m", "tests.gallery.killed_writer", str(folder), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", cwd=Path(__file__).parents[2]) as process:
        assert process.stdout
        lines = []
        while left:
            lines.append(process.stdout.readline())
            assert lines[-1], f"it ended before it was {verb} often enough"
            left -= lines[-1].startswith(verb)
        time.sleep(later)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    return [line for line in lines if line.endswith("\n")]


def _answers_agree(gallery: Gallery, known: Known) -> None:
    """Each stored face is its own best match, and no deleted one matches."""
    ids = list(known.alive)
    found = gallery.search.faces(PEOPLE, np.array([known.alive[face_id] for face_id in ids]), threshold=80, limit=5)
    assert [matches[0].face.face_id for matches in found] == list(ids)
    assert not known.gone & {match.face.face_id for matches in found for match in matches}
