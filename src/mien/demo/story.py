"""Play the demo and draw it as a contact sheet.

A person is enrolled from one photo and searched for in all others; then the stranger in one of them is enrolled too.
Names come from the file names, every answer from the run.
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


@dataclass(frozen=True, slots=True)
class Act:
    """One enrolment and the recognitions after it.

    Attributes:
        name: the enrolled person.
        enrolled: the photo that was enrolled.
        answers: photos that were recognised, with their answers.
    """

    name: str
    enrolled: Path
    answers: tuple[tuple[Path, Recognition], ...]


def play(app: FaceApp, photos: Sequence[Path]) -> list[Act]:
    """Enrol and recognise the two people with the most photos, one act for each.

    Args:
        app: an application with nobody enrolled.
        photos: from `demo_photos`.
    """
    (known, (first, *others)), (stranger, (unseen, *_)) = by_person(photos)[:2]
    return [_act(app, known, first, [*others, unseen]), _act(app, stranger, unseen, [unseen, others[0]])]


def _act(app: FaceApp, name: str, photo: Path, probes: Sequence[Path]) -> Act:
    app.enroll(photo.read_bytes(), name)
    return Act(name, photo, tuple((path, app.recognize(path.read_bytes())) for path in probes))


def story_sheet(acts: Sequence[Act]) -> Image:
    """Draw the first enrolled photo, then every recognition in order."""
    first = acts[0]
    tiles = [Tile(_open(first.enrolled), (), f"Enrolled: {first.name}", first.enrolled.name)]
    tiles += [tile for act in acts for tile in _tiles(act, "" if act is first else f"{act.name} is enrolled now · ")]
    title = f"{first.name} was enrolled from one photo. Who is in the others?"
    return contact_sheet(title, tiles, COLUMNS)


def _tiles(act: Act, remark: str) -> Iterator[Tile]:
    for path, answer in act.answers:
        labels = tuple(label(face) for face in answer.faces)
        yield Tile(_open(path), labels, _caption(answer), f"{remark}{path.name}")


def _open(path: Path) -> Image:
    return open_upright(path.read_bytes())


def _caption(answer: Recognition) -> str:
    return ", ".join(map(_verdict, answer.faces)) or "No face"


def _verdict(face: RecognizedFace) -> str:
    return "A stranger" if face.similarity is None else label(face).text
