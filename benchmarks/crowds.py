"""Measure which faces of crowded photos are found: recall by size, boxes that are no face, and processor time.

    python -m benchmarks.crowds DATA [--photos 8]

DATA contains `lfw_dev/*/*.jpg` and `photos/groups`. The photos are those of `crowd_photos.py`, 640, 1280 and 1920
pixels wide, and the real ones of `photos/groups`, whose noses are labelled. A box is right if it overlaps that of a
face with an intersection over union of 0.5, or in the real photos if it contains the nose of one; every other box is
extra. All settings and OpenCV's detector see each photo in turns, on one thread; a time is the least of three.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_studies import table
from benchmarks.crowd_photos import LARGEST, SMALLEST, Boxes, crowd_photos, nose_positions
from mien.engine import FaceEngine, model_files
from mien.engine.networks.onnx_passes import dequantize_weights

WIDTHS = (640, 1280, 1920)
FACES = {640: 30, 1280: 60, 1920: 80}
SIZES = (SMALLEST, 24, 32, 48, LARGEST + 1)
MIN_OVERLAP = 0.5
REPEATS = 3
OPENCV_SIDE = 640

NOT_ENLARGED: dict[str, object] = {"mien.engine.multiscale.RELIABLE_SIZE": 0}
SETTINGS: tuple[tuple[str, dict[str, object]], ...] = (
    ("Mien, as shipped", {}),
    ("Mien without passes for doubtful faces", {"mien.engine.multiscale.DOUBTFUL_SCORE": 0.7}),
    ("Mien, enlarged 1.5 times at most", {"mien.engine.multiscale.MAX_ENLARGEMENT": 1.5}),
    ("Mien without enlarging the photo", NOT_ENLARGED),
    ("the same, with scores from 0.6", NOT_ENLARGED | {"mien.engine.multiscale.MIN_SCORE": 0.6}),
    ("the same, with scores from 0.5", NOT_ENLARGED | {"mien.engine.multiscale.MIN_SCORE": 0.5}),
    ("the same, with a first pass at 960 pixels", NOT_ENLARGED | {"mien.engine.multiscale.FIRST_SIDE": 960}),
)
"""Name, and patches of the engine's internals."""


@dataclass(frozen=True)
class Case:
    """A photo, its width and height, and its faces: boxes (n, 4), or noses (n, 2), in pixels."""

    jpeg: bytes
    size: tuple[int, int]
    faces: Boxes


@dataclass
class Result:
    """What was found in some photos: the sizes of all faces, which of them were found, extra boxes, seconds a photo."""

    sizes: list[float]
    found: list[bool]
    extra: list[int]
    seconds: list[float]

    def recall(self, smallest: float = 0, largest: float = np.inf) -> str:
        within = [found for size, found in zip(self.sizes, self.found, strict=True) if smallest <= size < largest]
        return f"{np.mean(within):.1%} of {len(within)}" if within else ""


Finder = Callable[[Case], Boxes]


class OpenCV:
    """FaceDetectorYN on the photo, scaled down to a longer side of 640 pixels."""

    def __init__(self, folder: Path) -> None:
        path = folder / model_files.DETECTOR.name
        path.write_bytes(dequantize_weights(model_files.load(model_files.DETECTOR).content))
        self._detector = cv2.FaceDetectorYN.create(str(path), "", (OPENCV_SIDE, OPENCV_SIDE), 0.7)

    def __call__(self, case: Case) -> Boxes:
        image = cv2.imdecode(np.frombuffer(case.jpeg, np.uint8), cv2.IMREAD_COLOR)
        scale = min(1.0, OPENCV_SIDE / max(case.size))
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        self._detector.setInputSize((image.shape[1], image.shape[0]))
        _, faces = self._detector.detect(image)
        return np.zeros((0, 4)) if faces is None else faces[:, :4].astype(np.float64) / scale


class Mien:
    """FaceEngine with some of its internals replaced."""

    def __init__(self, patches: dict[str, object]) -> None:
        self._engine, self._patches = FaceEngine(threads=1), patches

    def __call__(self, case: Case) -> Boxes:
        with ExitStack() as stack:
            for target, value in self._patches.items():
                stack.enter_context(patch(target, value))
            boxes = [face.box for face in self._engine.detect(case.jpeg)]
        fractions = np.array([[box.left, box.top, box.width, box.height] for box in boxes]).reshape(-1, 4)
        return fractions * np.tile(case.size, 2)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("data", type=Path)
    options.add_argument("--photos", type=int, default=8, help="photos of each width")
    given = options.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        finders: dict[str, Finder] = {"OpenCV, one pass at 640 pixels": OpenCV(Path(folder))}
        finders |= {name: Mien(patches) for name, patches in SETTINGS}
        for width in WIDTHS:
            cases = [
                Case(photo.jpeg, (width, width * 3 // 4), photo.faces)
                for photo in crowd_photos(given.data, given.photos, width, FACES[width])
            ]
            print(f"\n{len(cases)} photos, {width} pixels wide\n\n{measured(finders, cases)}", flush=True)
        real = list(real_photos(given.data / "photos"))
        print(f"\n{len(real)} real photos\n\n{measured(finders, real)}")


def real_photos(folder: Path) -> Iterator[Case]:
    noses = nose_positions(folder)
    for path in sorted((folder / "groups").glob("*.jpg")):
        height, width = cv2.imread(str(path)).shape[:2]
        yield Case(path.read_bytes(), (width, height), noses.get(path.stem, np.zeros((0, 2))))


def measured(finders: dict[str, Finder], cases: Sequence[Case]) -> str:
    """Return a table of all finders, which see each photo in turns."""
    results = {name: Result([], [], [], []) for name in finders}
    for case in cases:
        for name, find in finders.items():
            add(results[name], case, *timed(find, case))
    ranges = list(pairwise(SIZES)) if cases[0].faces.shape[1] == 4 else []
    head = ["", "faces found", *(f"of {low} to {high - 1} pixels" for low, high in ranges), "extra boxes a photo"]
    rows = [
        [name, one.recall(), *(one.recall(*span) for span in ranges), f"{np.mean(one.extra):.2f}", cost(one)]
        for name, one in results.items()
    ]
    return table([*head, "processor time a photo"], rows)


def cost(result: Result) -> str:
    return f"{1000 * float(np.mean(result.seconds)):.0f} ms"


def timed(find: Finder, case: Case) -> tuple[Boxes, float]:
    seconds = []
    for _ in range(REPEATS):
        begun = time.thread_time()
        boxes = find(case)
        seconds.append(time.thread_time() - begun)
    return boxes, min(seconds)


def add(result: Result, case: Case, boxes: Boxes, seconds: float) -> None:
    is_right = overlaps(case.faces, boxes) >= MIN_OVERLAP if case.faces.shape[1] == 4 else contains(boxes, case.faces)
    found, used = np.zeros(len(case.faces), bool), np.zeros(len(boxes), bool)
    for face, box in zip(*np.nonzero(is_right), strict=True):
        if not found[face] and not used[box]:
            found[face] = used[box] = True
    result.sizes += case.faces[:, 2:].max(axis=1).tolist() if case.faces.shape[1] == 4 else [0.0] * len(case.faces)
    result.found += found.tolist()
    result.extra.append(int((~used).sum()))
    result.seconds.append(seconds)


def overlaps(faces: Boxes, boxes: Boxes) -> Boxes:
    """Return intersections over unions (faces, boxes)."""
    ends = np.minimum(faces[:, None, :2] + faces[:, None, 2:], boxes[None, :, :2] + boxes[None, :, 2:])
    shared: Boxes = (ends - np.maximum(faces[:, None, :2], boxes[None, :, :2])).clip(0).prod(axis=2)
    return shared / (faces[:, 2:].prod(axis=1)[:, None] + boxes[:, 2:].prod(axis=1) - shared)


def contains(boxes: Boxes, points: Boxes) -> NDArray[np.bool_]:
    """Return which boxes contain which points (points, boxes)."""
    offsets = points[:, None] - boxes[None, :, :2]
    return ((offsets >= 0) & (offsets <= boxes[None, :, 2:])).all(axis=2)


if __name__ == "__main__":
    main()
