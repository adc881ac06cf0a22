"""The demo's story: somebody is enrolled from one photo and looked for on all others; then the stranger who
was on one of them is enrolled too. Names come from the files' names, every answer from the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.app import FaceApp
from mien.demo.photos import by_person
from mien.records import Recognition


@dataclass(frozen=True, slots=True)
class Act:
    """A photo is enrolled under a name; then photos are shown and answered."""

    name: str
    enrolled: Path
    answers: tuple[tuple[Path, Recognition], ...]


def play(app: FaceApp, photos: Sequence[Path]) -> list[Act]:
    """Two acts, with the first two people by number of photos."""
    (known, (first, *others)), (stranger, (unseen, *_)) = by_person(photos)[:2]
    return [_act(app, known, first, [*others, unseen]), _act(app, stranger, unseen, [unseen, others[0]])]


def _act(app: FaceApp, name: str, photo: Path, shown: Sequence[Path]) -> Act:
    app.enroll(photo.read_bytes(), name)
    return Act(name, photo, tuple((path, app.recognize(path.read_bytes())) for path in shown))
