"""Write the files that a command is asked for: images, reports and exports. No file that exists is ever replaced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import IO

from mien.cli import whole_files
from mien.cli.photos import real_path
from mien.domain.errors import AlreadyExists, InvalidInput, StorageError
from mien.settings import Settings

MODE, PRIVATE_MODE = 0o666, 0o600
"""What others may do with a file, as far as the umask allows it, and with one that tells about people."""


def check_new(file: Path, settings: Settings) -> None:
    """Check that a file can be written: a new one, in a folder that exists, outside of the data folder.

    The check comes before the work, so that no work is done in vain. Raises InvalidInput.
    """
    if os.path.lexists(file):
        raise InvalidInput(_exists(file))
    if not file.parent.is_dir():
        raise InvalidInput(f"There is no folder {file.parent} for {file.name}.")
    parent, data_dir = real_path(file.parent), settings.data_dir
    if any(parent.is_relative_to(real_path(own)) for own in (data_dir, data_dir / "bucket")):
        raise InvalidInput(f"{file} would be in the data folder, which holds only what Mien keeps: name another place.")


@contextmanager
def writing(file: Path, mode: int = MODE) -> Iterator[IO[bytes]]:
    """Yield the stream of a new file, which gets its name once it is whole; after an error, there is no file.

    Raises StorageError when it cannot be written, and AlreadyExists when somebody else has taken the name meanwhile.
    """
    try:
        with whole_files.draft_of(file) as draft:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
        whole_files.finish(draft, file)
    except FileExistsError as error:
        raise AlreadyExists(_exists(file)) from error  # the work is done: no input was at fault
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror}.") from error


def free_name(file: Path) -> Path:
    """Return a path that nothing has yet: this one, or with a number after its name."""
    numbered = (file.with_stem(f"{file.stem}-{number}") for number in count(2))
    return next(path for path in chain([file], numbered) if not os.path.lexists(path))


def _exists(file: Path) -> str:
    return f"{file} exists already, and Mien never replaces a file: name another one, or remove it first."
