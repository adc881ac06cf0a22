"""All segments are searched for some probes, by several threads side by side.

The threads take a part of a segment at a time from the one counter that it has, inside the scan: so all end at the
same moment, and a thread that wakes late or runs on a slower core only takes less.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np

from mien.gallery.nearest.segment import Candidates, Look, Segment
from mien.gallery.nearest.truth import Vectors

CORES = os.cpu_count() or 1
_WORTH_WAKING = 131_072
"""Faces times probes: fewer are scanned before another thread would be awake."""


class Sweep:
    """One search of segments: for each probe (m, 128) of the candidates that reach its floor (m,)."""

    def __init__(self, segments: Sequence[Segment], probes: Vectors, floors: Sequence[float]) -> None:
        self._segments = segments
        self._probes = probes
        self._floors = floors
        self._looks: list[Look | None] = [None] * len(segments)
        self._taken = np.zeros(len(segments), np.int64)

    def run(self, workers: Executor) -> list[list[Candidates]]:
        """For each probe its candidates, in several parts."""
        worth = sum(map(len, self._segments)) * len(self._probes) >= _WORTH_WAKING
        helpers = [workers.submit(self._help) for _ in range((CORES - 1) * worth)]
        found = self._help()
        for helper in helpers:
            if not helper.cancel():
                for mine, others in zip(found, helper.result(), strict=True):
                    mine += others
        return found

    def _help(self) -> list[list[Candidates]]:
        found: list[list[Candidates]] = [[] for _ in self._probes]
        for number, segment in enumerate(self._segments):
            for part in segment.near(self._look(number), self._taken[number : number + 1]):
                for mine, near in zip(found, part, strict=True):
                    mine.append(near)
        return found

    def _look(self, number: int) -> Look:
        look = self._looks[number]
        if look is None:  # two threads may both make it: they make the same
            look = self._looks[number] = self._segments[number].look(self._probes, self._floors)
        return look
