"""The demo's story as a contact sheet.

The demo's story: somebody is enrolled from one photo and looked for on all others; then the stranger who
was on one of them is enrolled too. Names come from the files' names, every answer from the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Image

from mien.annotate import Tile, contact_sheet, label, open_upright
from mien.app.app import FaceApp
from mien.demo.photos import by_person
from mien.domain.records import Recognition, RecognizedFace

COLUMNS = 4


def story_sheet(acts: Sequence[Act]) -> Image:
    """What was enrolled first, then every answer in order."""
    first = acts[0]
    tiles = [Tile(_photo(first.enrolled), (), f"Enrolled: {first.name}", first.enrolled.name)]
    tiles += [tile for act in acts for tile in _tiles(act, "" if act is first else f"{act.name} is enrolled now · ")]
    title = f"{first.name} was enrolled from one photo. Who is on the others?"
    return contact_sheet(title, tiles, COLUMNS)


def _tiles(act: Act, remark: str) -> Iterator[Tile]:
    for path, answer in act.answers:
        labels = tuple(label(face) for face in answer.faces)
        yield Tile(_photo(path), labels, _caption(answer), f"{remark}{path.name}")


def _photo(path: Path) -> Image:
    return open_upright(path.read_bytes())


def _caption(answer: Recognition) -> str:
    return ", ".join(map(_verdict, answer.faces)) or "No face"


def _verdict(face: RecognizedFace) -> str:
    return "A stranger" if face.similarity is None else label(face).text


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
