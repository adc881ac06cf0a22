"""Build photos of crowds whose faces are known: heads of LFW's portraits, pasted onto parts of photos without faces.

The heads of `lfw_dev/*/*.jpg` have faces of 16 to 80 pixels, evenly over the logarithm of the size. The backgrounds are
what lies below the people's heads in `photos/groups` (bodies, tables, grass), whose README gives the place of every
nose. Smaller heads stand behind larger ones and higher up. All is drawn from a fixed seed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray

from mien.engine import model_files
from mien.engine.context import EngineContext, Pixels
from mien.engine.detect import detect_once
from mien.engine.model_factory import ModelFactory

Boxes = NDArray[np.float64]
"""(n, 4) left, top, width, height in pixels."""

SMALLEST, LARGEST = 16, 80
"""Pixels of a face's longer side."""

HEAD = (0.95, 0.85)
"""Half axes of the ellipse that is cut out, in widths and heights of the face."""

BELOW_NOSES = 0.22
"""Share of a photo's height below the lowest nose that may still belong to a face."""

MAX_COVERED = 0.1
JPEG_QUALITY = 90
PORTRAIT_SIDE = 250
ENLARGEMENT = 2
LEAST_SCORE, LEAST_OTHER_SCORE = 0.85, 0.3
MAX_OFFSET = 0.15
"""Share of a portrait's width by which its face may lie beside the middle."""


@dataclass(frozen=True)
class CrowdPhoto:
    """A JPEG, and the boxes of its faces."""

    jpeg: bytes
    pixels: Pixels
    faces: Boxes


@dataclass(frozen=True)
class Head:
    """A portrait (height, width, 3) and the box (4,) of its face."""

    portrait: Pixels
    face: Boxes


def crowd_photos(data: Path, count: int, long_side: int, faces: int) -> Iterator[CrowdPhoto]:
    """Draw photos of 4:3 with up to so many faces each; `data` contains `lfw_dev` and `photos`."""
    rng = np.random.default_rng(long_side)
    heads, backgrounds = list(_heads(data / "lfw_dev")), list(_backgrounds(data / "photos"))
    for number in range(count):
        canvas = _covering(backgrounds[number % len(backgrounds)], long_side * 3 // 4, long_side)
        yield _crowd(canvas[:, ::-1].copy() if number % 2 else canvas, heads, faces, rng)


def nose_positions(photos: Path) -> dict[str, NDArray[np.float64]]:
    """Read the noses (n, 2) of each photo of `groups` from README.md."""
    text = (photos / "README.md").read_text(encoding="utf-8")
    found = {}
    for name, places in re.findall(r"(\d{3}_[A-Z0-9])((?: \(\d+,\d+\))+)", text):
        found[name] = np.array(re.findall(r"\((\d+),(\d+)\)", places), np.float64)
    return found


def _heads(folder: Path) -> Iterator[Head]:
    """Yield the portraits with a certain face in the middle, and no other that a pass might take for one."""
    network = ModelFactory(EngineContext()).detector(model_files.load(model_files.DETECTOR))
    for path in sorted(folder.glob("*/*.jpg"))[::2]:
        portrait = simplejpeg.decode_jpeg(path.read_bytes())
        enlarged: Any = cv2.resize(portrait, None, fx=ENLARGEMENT, fy=ENLARGEMENT)
        found = detect_once(network, enlarged, LEAST_OTHER_SCORE).scaled(1 / ENLARGEMENT)
        centres = found.boxes[:, :2] + found.boxes[:, 2:] / 2
        if len(found) == 1 and found.scores[0] >= LEAST_SCORE and abs(centres[0, 0] / PORTRAIT_SIDE - 0.5) < MAX_OFFSET:
            yield Head(portrait, found.boxes[0].astype(np.float64))


def _backgrounds(photos: Path) -> Iterator[Pixels]:
    noses = nose_positions(photos)
    for path in sorted((photos / "groups").glob("*.jpg")):
        pixels: Any = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        height = len(pixels)
        lowest = noses[path.stem][:, 1].max() + BELOW_NOSES * height if path.stem in noses else 0
        if lowest < 0.8 * height:
            yield pixels[int(lowest) :]


def _covering(pixels: Pixels, height: int, width: int) -> Pixels:
    """Scale a photo so that it covers a canvas, and cut its middle out."""
    scale = max(height / pixels.shape[0], width / pixels.shape[1])
    size = (max(width, round(pixels.shape[1] * scale)), max(height, round(pixels.shape[0] * scale)))
    scaled: Any = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return scaled[top : top + height, left : left + width].copy()


def _crowd(canvas: Pixels, heads: list[Head], faces: int, rng: np.random.Generator) -> CrowdPhoto:
    sizes = np.sort(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), faces)))
    placed = np.zeros((0, 4))
    for size in sizes:
        head = heads[rng.integers(len(heads))]
        box = _free_place(canvas.shape, head, size, placed, rng)
        if box is not None:
            _paste(canvas, head, box, mirrored=bool(rng.integers(2)))
            placed = np.concatenate([placed, box[None]])
    return CrowdPhoto(simplejpeg.encode_jpeg(canvas, JPEG_QUALITY), canvas, placed)


def _free_place(
    shape: tuple[int, ...], head: Head, size: float, placed: Boxes, rng: np.random.Generator
) -> Boxes | None:
    """Find a place where the head hardly covers another face; larger heads stand lower. None if there is no room."""
    width, height = head.face[2:] * size / head.face[2:].max()
    half = np.array(HEAD) * (width, height)
    depth = np.log(size / SMALLEST) / np.log(LARGEST / SMALLEST)
    for _ in range(60):
        x = rng.uniform(half[0], shape[1] - half[0])
        y = np.clip(rng.normal(0.25 + 0.5 * depth, 0.2) * shape[0], half[1], shape[0] - half[1])
        middle = np.array([x, y])
        covered = np.minimum(placed[:, :2] + placed[:, 2:], middle + half) - np.maximum(placed[:, :2], middle - half)
        shares = covered.clip(0).prod(axis=1) / placed[:, 2:].prod(axis=1)
        if not (shares > MAX_COVERED).any():
            return np.array([x - width / 2, y - height / 2, width, height])
    return None


def _paste(canvas: Pixels, head: Head, box: Boxes, *, mirrored: bool) -> None:
    """Draw the head with a soft edge, so that its face lies in `box`."""
    scale = box[2] / head.face[2]
    side = round(PORTRAIT_SIDE * scale)
    portrait = cv2.resize(head.portrait, (side, side), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    middle = (head.face[:2] + head.face[2:] / 2) * scale
    rows, columns = np.mgrid[:side, :side]
    radius = np.hypot((columns - middle[0]) / (HEAD[0] * box[2]), (rows - middle[1]) / (HEAD[1] * box[3]))
    weight = np.clip((1 - radius) * 8, 0, 1)[..., None]
    if mirrored:
        portrait, weight, middle = portrait[:, ::-1], weight[:, ::-1], np.array([side - middle[0], middle[1]])
    left, top = np.rint(box[:2] + box[2:] / 2 - middle).astype(int)
    inside = np.s_[max(-top, 0) : len(canvas) - top, max(-left, 0) : canvas.shape[1] - left]
    target = canvas[max(top, 0) : top + side, max(left, 0) : left + side]
    target[:] = np.rint(weight[inside] * portrait[inside] + (1 - weight[inside]) * target)
