"""The server gives memory back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FREE_LARGE_BLOCKS = """
import sys
from pathlib import Path
from mien.cli.serve import give_memory_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "back":
    give_memory_back()
del [bytearray(16 << 20)][0]
before, blocks, small = resident(), [], []
for _ in range(8):
    blocks.append(bytearray(16 << 20))
    small.append(bytearray(64 << 10))
blocks.clear()
print(resident() - before)
"""


def kept(how: str) -> int:
    """Bytes that a process keeps of 128 MiB which it has freed."""
    command = [sys.executable, "-c", FREE_LARGE_BLOCKS, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_large_blocks_go_back_to_the_system_when_they_are_freed() -> None:
    assert kept("usual") > 96 << 20
    assert kept("back") < 16 << 20
