"""Processes die at random moments of erasures; after the next start the erased are nowhere and the others intact."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.errors import UserNotFound
from tests.support.painter import photos_of

KILLS = int(os.environ.get("MIEN_TEST_KILLS", "10"))
PROGRAM = """
import sys
from pathlib import Path
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.policy import Policy
from tests.support.fake_engine import FakeFaceEngine

backend = EmbeddedBackend(Path(sys.argv[1]), "people", Policy(), FakeFaceEngine)
backend.recognizer.face_ids("nobody")
print("ready", flush=True)
sys.stdin.readline()
backend.app.forget("Robert")
"""


def start_erasure(folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that is about to forget Robert."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.slow
def test_an_erasure_that_is_killed_at_any_moment_is_finished_at_the_next_start(
    start: Callable[[], EmbeddedBackend], tmp_path: Path
) -> None:
    robert, venus = photos_of("Robert"), photos_of("Venus")
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    killed_midway = 0
    machine = start()
    machine.app.enroll(venus[0], "Venus")
    for _ in range(KILLS):
        for photo in robert[:3]:
            machine.app.enroll(photo, "Robert")
        for photo in robert:
            machine.app.recognize(photo)
        answer = machine.app.recognize(venus[1])
        process = start_erasure(tmp_path / "data")
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
        with suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0.0, 0.08))
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed_midway += bool(machine.app.pending_erasures())
        again = start()
        again.app.resume_erasures()
        again.worker(threads=1).reconcile()
        if again.app.people().items[0].user_id == "Robert":  # killed before the request was stored
            again.app.forget("Robert")
        assert again.app.verify_erased("Robert") == (), f"seed {seed}"
        assert again.app.pending_erasures() == []
        with pytest.raises(UserNotFound):
            again.app.person("Robert")
        assert again.app.recognition(answer.recognition_id) == answer
        assert again.app.recognize(venus[1], store=False).faces[0].user_id == "Venus"
        assert again.app.recognize(robert[1], store=False).faces[0].user_id is None
        assert again.database.read("PRAGMA integrity_check") == [("ok",)]
        machine = again
    assert killed_midway, f"no kill hit an erasure, seed {seed}"
