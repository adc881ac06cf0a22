"""Expires what is over in a data folder, for a test that kills it: `python -m tests.app.killed_expiry FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.policy import Policy
from tests.support.fake_engine import FakeFaceEngine


def main() -> None:
    policy = Policy(result_days=1, visitor_days=1)
    with EmbeddedBackend(Path(sys.argv[1]), "people", policy, FakeFaceEngine).app as app:
        app.resume_erasures()
        print("ready", flush=True)
        app.expire()


if __name__ == "__main__":
    main()
