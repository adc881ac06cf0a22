"""The demo's story as a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL.Image import Image

from mien.demo.story import Act
from mien.pictures import Tile, contact_sheet, label, open_upright
from mien.records import Recognition, RecognizedFace

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
