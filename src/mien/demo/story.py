"""Run the demo and draw it as a contact sheet.

A person is enrolled from one photo and searched for in all others; then the stranger in one of them is enrolled too.
Names come from the file names, every recognition from the run.
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
class Step:
    """One enrolment and the recognitions after it.

    Attributes:
        name: the enrolled person.
        enrolled: the photo that was enrolled.
        recognitions: the photos that were searched, each with its recognition.
    """

    name: str
    enrolled: Path
    recognitions: tuple[tuple[Path, Recognition], ...]


def run_demo(app: FaceApp, photos: Sequence[Path]) -> list[Step]:
    """Enrol and recognise the two people with the most photos, one step each.

    Args:
        app: an application with nobody enrolled.
        photos: from `demo_photos`.
    """
    (known, (first, *others)), (stranger, (unseen, *_)) = by_person(photos)[:2]
    return [_step(app, known, first, [*others, unseen]), _step(app, stranger, unseen, [unseen, others[0]])]


def _step(app: FaceApp, name: str, photo: Path, probes: Sequence[Path]) -> Step:
    app.enroll(photo.read_bytes(), name)
    return Step(name, photo, tuple((path, app.recognize(path.read_bytes())) for path in probes))


def demo_sheet(steps: Sequence[Step]) -> Image:
    """Draw the first enrolled photo, then every recognition in order."""
    first = steps[0]
    tiles = [Tile(_open(first.enrolled), (), f"Enrolled: {first.name}", first.enrolled.name)]
    tiles += [
        tile for step in steps for tile in _tiles(step, "" if step is first else f"{step.name} is enrolled now · ")
    ]
    title = f"{first.name} was enrolled from one photo. Who is in the others?"
    return contact_sheet(title, tiles, COLUMNS)


def _tiles(step: Step, remark: str) -> Iterator[Tile]:
    for path, recognition in step.recognitions:
        labels = tuple(label(face) for face in recognition.faces)
        yield Tile(_open(path), labels, _caption(recognition), f"{remark}{path.name}")


def _open(path: Path) -> Image:
    return open_upright(path.read_bytes())


def _caption(recognition: Recognition) -> str:
    return ", ".join(map(_caption_of_face, recognition.faces)) or "No face"


def _caption_of_face(face: RecognizedFace) -> str:
    return "A stranger" if face.similarity is None else label(face).text
