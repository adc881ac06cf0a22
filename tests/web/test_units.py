"""The page's modules without a browser: Node's own test runner on `tests/web/unit`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parent / "unit"
MIN_NODE = 20  # has the CustomEvent of browsers


def node_version(node: str) -> int:
    answer = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout
    return int(answer.removeprefix("v").partition(".")[0])


def test_modules_without_a_browser():
    node = shutil.which("node")
    if node is None or node_version(node) < MIN_NODE:
        pytest.skip(f"needs Node {MIN_NODE} or newer: apt-get install nodejs, or https://nodejs.org")
    files = sorted(UNITS.glob("*.test.js"))
    assert files
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
