"""Halve a photo for its large faces, so that what is done to each of them takes no longer than to a smaller one."""

from __future__ import annotations

from math import ceil, log2

import cv2

from mien.engine.context import Pixels

LARGEST_FACE = 800
"""Pixels of a face's longer side above which the photo is halved for it. Half of that are still more than refinement
looks at, and nearly twice what alignment needs."""


class Halvings:
    """A photo and its copies of half, a quarter … of the sides, each made when a face needs it.

    Args:
        pixels: RGB (height, width, 3), uint8.
    """

    def __init__(self, pixels: Pixels) -> None:
        self._copies = [pixels]

    def for_face(self, side: float) -> tuple[Pixels, float]:
        """Return the copy in which a face has at most LARGEST_FACE pixels, and its scale.

        Args:
            side: pixels of the face's longer side in the photo.
        """
        halvings = ceil(log2(max(side / LARGEST_FACE, 1)))
        while len(self._copies) <= halvings and min(self._copies[-1].shape[:2]) > 1:
            half = cv2.resize(self._copies[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            self._copies.append(half)  # type: ignore[arg-type]
        halvings = min(halvings, len(self._copies) - 1)
        return self._copies[halvings], 0.5**halvings
