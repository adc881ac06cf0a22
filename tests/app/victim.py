"""Works on a data folder until it is killed, for a test: `python -m tests.app.victim FOLDER WORK`.

It writes "ready", waits for a line, works, and writes "done".
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from mien.app.app import FaceApp
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.policy import Policy
from tests.support.fake_engine import FakeFaceEngine

POLICY = Policy(result_days=1, visitor_days=1)


def change(app: FaceApp) -> None:
    """Merge and rename, and undo both, several times."""
    for _ in range(5):
        app.merge("Robert", "Salma")
        app.rename("Salma", "Sal")
        app.rename("Venus", "Serena")
        app.merge("Salma", "Venus")
        app.unmerge("Robert")
        app.unmerge("Salma")
        app.rename("Venus", "Venus")
        app.rename("Salma", "Salma")


WORK: dict[str, Callable[[FaceApp], object]] = {
    "erase": lambda app: app.forget("Robert"),
    "expire": lambda app: app.expire(),
    "change": change,
    "repair": lambda app: app.reconcile(repair=True, force=True, grace=0),
}


def main() -> None:
    backend = EmbeddedBackend(Path(sys.argv[1]), "people", POLICY, FakeFaceEngine)
    with backend.app as app:
        backend.recognizer.face_ids("nobody")  # opens the gallery
        print("ready", flush=True)
        sys.stdin.readline()
        WORK[sys.argv[2]](app)
        print("done", flush=True)


if __name__ == "__main__":
    main()
