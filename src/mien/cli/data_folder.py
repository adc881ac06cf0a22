"""Lock the data folder: shared by the commands that use it, and exclusively by the one that deletes what is in it.

The folder itself is locked, so that no file is needed for that, and the lock ends with its process.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mien.domain.errors import StorageBusy


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keep `mien reset` out. Raises StorageBusy while that is at work, or a restore.

    A missing folder is made, since another process could make it otherwise, and removed when nothing is put into it.
    """
    from mien.gallery.store import private_files

    was_there = os.path.lexists(folder)
    with suppress(OSError):  # the command itself says what is wrong with the folder
        private_files.make_folder(folder)
    with ExitStack() as held:
        try:
            held.enter_context(_locked(folder, fcntl.LOCK_SH))
        except BlockingIOError:
            raise StorageBusy("The data folder is being reset or restored; try again.") from None
        try:
            yield
        finally:
            if not was_there:
                with suppress(OSError):  # it is in use now
                    folder.rmdir()


@contextmanager
def unused(folder: Path) -> Iterator[None]:
    """Keep commands out that use the folder. Raises StorageBusy while there is one."""
    with ExitStack() as held:
        try:
            held.enter_context(_locked(folder, fcntl.LOCK_EX))
        except BlockingIOError:
            raise StorageBusy("Another command is at work in this data folder; wait for its end.") from None
        yield


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    """Hold a lock of a folder, where the file system has such. Raises BlockingIOError when another is in the way."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a network file system without locks of folders
            pass
        yield
    finally:
        os.close(descriptor)
