"""All segments are searched for some probes, by several threads side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from mien.gallery.vector_index.kernels import Plan
from mien.gallery.vector_index.segment import Segment
from mien.gallery.vector_index.source import Rows, Vectors

CORES = os.cpu_count() or 1
_WORTH_WAKING = 131_072
"""Faces times probes: fewer are looked at before another thread would be awake."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows (n,) with cosines (n,), each off by at most `error`."""

    rows: Rows
    cosines: Vectors
    error: float


def sweep(
    segments: Sequence[Segment], probes: Vectors, floors: Sequence[float], workers: Executor
) -> list[list[Candidates]]:
    """For each probe (m, 128) the rows that reach its floor (m,), in several parts."""
    cuts = [segment.cut(probes, floors) for segment in segments]
    words = [(*segment.words, *cut.words) for segment, cut in zip(segments, cuts, strict=True)]
    plan = Plan(probes, words, kept=(segments, cuts))
    error = max(segment.error for segment in segments)

    def help_out() -> list[list[Candidates]]:
        parts = [[Candidates(*near, error) for near in part] for part in plan.take()]
        return [list(near) for near in zip(*parts, strict=True)]

    worth = sum(map(len, segments)) * len(probes) >= _WORTH_WAKING
    helpers = [workers.submit(help_out) for _ in range((CORES - 1) * worth)]
    found = help_out()
    for helper in helpers:
        if not helper.cancel():
            for mine, others in zip(found, helper.result(), strict=True):
                mine += others
    return found
