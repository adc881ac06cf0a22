"""Search files for bytes, in a process of its own, so that SQLite's files may be among them.

A process that has a connection to a SQLite database must not open its files in any other way: closing such a file
drops all POSIX locks that the process holds on it, SQLite's included, and then another process may remove the
write-ahead log under the open connection (https://sqlite.org/howtocorrupt.html, section 2.2). The search therefore
runs in a new interpreter, whose program is this file: it imports nothing but the standard library.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CHUNK_BYTES = 1 << 20
STARTUP_SECONDS = 30.0
BYTES_PER_SECOND = 10_000_000
"""Slower than any disk that is in order."""


class SearchFailed(Exception):
    """The files could not be read, or not in time."""


def search(paths: Sequence[Path], needles: Sequence[bytes]) -> list[Path]:
    """Return the files that contain one of some byte strings; files that do not exist do not.

    Args:
        paths: Regular files, SQLite's included.
        needles: What to search for; handed over on standard input, since command lines are visible to everybody.

    Raises SearchFailed.
    """
    request = {"paths": [os.fsencode(path).hex() for path in paths], "needles": [needle.hex() for needle in needles]}
    size = sum(path.stat().st_size for path in paths if path.exists())
    try:
        child = subprocess.run(  # noqa: S603 - this interpreter, on this file
            [sys.executable, "-I", "-S", __file__],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=STARTUP_SECONDS + size / BYTES_PER_SECOND,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SearchFailed("The files could not be read, or not in time.") from error
    return [paths[index] for index in json.loads(child.stdout)]


def _contains(path: bytes, needles: list[bytes]) -> bool:
    overlap = max(map(len, needles)) - 1
    window = b""
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                window = window[max(len(window) - overlap, 0) :] + chunk
                if any(needle in window for needle in needles):
                    return True
    except FileNotFoundError:
        return False
    return False


def _main() -> None:
    request = json.load(sys.stdin)
    needles = [bytes.fromhex(needle) for needle in request["needles"]]
    paths = [bytes.fromhex(path) for path in request["paths"]]
    json.dump([index for index, path in enumerate(paths) if _contains(path, needles)], sys.stdout)


if __name__ == "__main__":
    _main()
