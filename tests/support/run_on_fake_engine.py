"""Runs `mien` with the fake engine in the place of the real one, for tests that start it as a process of its own."""

import sys
from pathlib import Path

import mien.engine


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.support.fake_engine import FakeFaceEngine

    mien.engine.FaceEngine = FakeFaceEngine  # before anything is imported that opens an engine
    from mien.cli.main import main

    main()


if __name__ == "__main__":
    main()
