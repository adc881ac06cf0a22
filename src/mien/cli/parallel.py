"""One job for many photos, on all hands, with a progress bar where somebody watches."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

from mien.cli.exit_codes import ABOUT_ONE_PHOTO
from mien.domain.errors import MienError

T = TypeVar("T")
R = TypeVar("R")
HANDS_ON_AWS = 16


def each(items: Sequence[T], job: Callable[[T], R], doing: str) -> Iterator[tuple[T, R | MienError]]:
    """Outcomes as they come; an error about one photo is its outcome, any other ends the work.

    Also when cut off by Ctrl-C, jobs that have begun come to their end and no other begins.
    """
    with _progress(doing, len(items)) as advance, ThreadPoolExecutor(_hands()) as pool:
        waiting = {pool.submit(job, item): item for item in items}
        try:
            for done in as_completed(waiting):
                outcome = _outcome(done.result)
                advance()
                yield waiting[done], outcome
        finally:
            pool.shutdown(cancel_futures=True)


def _hands() -> int:
    """One more than cores, so that none waits for a disk; many on AWS, where all they do is wait."""
    from mien.config import Backend, Settings

    return HANDS_ON_AWS if Settings.from_environment().backend is Backend.AWS else (os.cpu_count() or 1) + 1


def _outcome(result: Callable[[], R]) -> R | MienError:
    try:
        return result()
    except ABOUT_ONE_PHOTO as error:
        return error


@contextmanager
def _progress(doing: str, total: int) -> Iterator[Callable[[], None]]:
    if total < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda: progress.advance(task)
