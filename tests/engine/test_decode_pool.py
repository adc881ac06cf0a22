"""Photos are decoded by processes that can be ended, and that can do little else."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.domain.errors import DamagedImage, ImageTooLarge, Overloaded, UnsupportedImage
from mien.engine import decode_pool
from mien.engine.decode_pool import DecodingPool
from mien.engine.limits import Limits
from tests.support.forks import holds_in_child
from tests.support.process import PATIENCE_SECONDS, wait_for

LIMITS = Limits()


@pytest.fixture
def pool() -> Iterator[DecodingPool]:
    pool = DecodingPool()
    yield pool
    for process in pool._idle:
        process.end()


@pytest.fixture
def webp(encode, scene) -> bytes:
    return encode(scene, "WEBP", lossless=True)


def pid_of(pool: DecodingPool) -> int:
    (process,) = pool._idle
    return process._process.pid


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_pixels_are_those_of_the_file_and_one_process_decodes_many(pool, webp, scene):
    for _ in range(3):
        decoded, pixels = pool.decode(webp, 0, LIMITS, LIMITS.max_memory)
        assert np.array_equal(pixels, np.asarray(scene))
        assert (decoded.size, decoded.orientation) == (scene.size, 1)
    assert len(pool._idle) == 1


def test_a_process_is_started_beforehand_once(pool, webp):
    pool.prepare()
    pid = pid_of(pool)
    assert pool.decode(webp, 0, LIMITS, LIMITS.max_memory)[1].size
    pool.prepare()
    assert pid_of(pool) == pid


WITHOUT_PRIORITIES = """#!{python}
# Forbids setpriority, as systemd's SystemCallFilter does: load the call's number; if it is this one, EPERM; else allow.
import ctypes, os, platform, struct, sys
number = {{"x86_64": 141, "aarch64": 140}}[platform.machine()]
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
given = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, given) == 0
os.execv("{python}", ["{python}", *sys.argv[1:]])
"""
WITH_LITTLE_ADDRESS_SPACE = '#!/bin/sh\nulimit -v 8000000\nexec {python} "$@"\n'


@pytest.mark.skipif(sys.platform != "linux", reason="uses prctl")
@pytest.mark.parametrize("script", [WITHOUT_PRIORITIES, WITH_LITTLE_ADDRESS_SPACE], ids=["calls", "memory"])
def test_photos_are_decoded_where_a_service_manager_allows_less(pool, webp, scene, monkeypatch, tmp_path, script):
    python = tmp_path / "python"
    python.write_text(script.format(python=sys.executable))
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    assert np.array_equal(pool.decode(webp, 0, LIMITS, LIMITS.max_memory)[1], np.asarray(scene))


@pytest.mark.parametrize("is_first", [True, False])
def test_a_decoder_that_crashes_is_a_damaged_photo_and_the_next_photo_is_decoded(pool, webp, monkeypatch, is_first):
    if not is_first:
        pool.decode(webp, 0, LIMITS, LIMITS.max_memory)
    crashed, ask = [], decode_pool._Process.ask

    def ask_and_crash(process: Any, *arguments: Any) -> dict[str, Any]:
        crashed.append(process._process.pid)
        os.kill(crashed[-1], signal.SIGSEGV)
        return ask(process, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(decode_pool._Process, "ask", ask_and_crash)
        with pytest.raises(DamagedImage, match=r"^The photo is damaged: its decoder crashed\.$"):
            pool.decode(webp, 0, LIMITS, LIMITS.max_memory)
    assert len(set(crashed)) == len(crashed) == (1 if is_first else 2)
    assert pool.decode(webp, 0, LIMITS, LIMITS.max_memory)[1].size
    assert pid_of(pool) not in crashed


def test_a_forked_child_has_decoders_of_its_own(pool, webp):
    pool.decode(webp, 0, LIMITS, LIMITS.max_memory)
    pid = pid_of(pool)

    def has_another() -> bool:
        is_decoded = pool.decode(webp, 0, LIMITS, LIMITS.max_memory)[1].size > 0
        return is_decoded and pid_of(pool) != pid

    with pool._lock:
        assert holds_in_child(has_another)
    assert is_running(pid)
    assert pool.decode(webp, 0, LIMITS, LIMITS.max_memory)[1].size


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_photo_is_not_blamed_for_a_decoder_that_ended_before_it_came(pool, webp, number):
    pool.decode(webp, 0, LIMITS, LIMITS.max_memory)
    pid, decoded = pid_of(pool), []
    os.kill(pid, signal.SIGSTOP)
    thread = threading.Thread(target=lambda: decoded.append(pool.decode(webp, 0, LIMITS, LIMITS.max_memory)))
    thread.start()
    wait_for(lambda: not pool._idle)
    os.kill(pid, number)
    if number != signal.SIGKILL:  # which ends stopped ones, too
        os.kill(pid, signal.SIGCONT)
    thread.join(PATIENCE_SECONDS)
    assert len(decoded) == 1
    assert pid_of(pool) != pid


def test_a_decoder_that_is_slow_to_end_was_not_slow_to_decode(pool, webp, monkeypatch):
    def lose_and_crash_later(process: Any, *_: object) -> dict[str, Any]:
        threading.Timer(0.5, os.kill, (process._process.pid, signal.SIGSEGV)).start()
        raise EOFError

    monkeypatch.setattr(decode_pool._Process, "ask", lose_and_crash_later)
    with pytest.raises(DamagedImage, match="crashed"):
        pool.decode(webp, 0, LIMITS, LIMITS.max_memory)


def test_a_decoder_tells_how_long_it_took(pool, webp):
    decoded, _ = pool.decode(webp, 0, LIMITS, LIMITS.max_memory)
    assert 0 < decoded.seconds < 2 * LIMITS.max_seconds


def test_what_takes_too_long_is_ended_and_the_limit_is_named(pool, encode, scene):
    large = encode(scene.resize((3000, 2000)), "WEBP", method=0)
    with pytest.raises(ImageTooLarge) as refused:
        pool.decode(large, 0, Limits(max_seconds=0.005), LIMITS.max_memory)
    assert refused.value.limit == "seconds"
    assert pool.decode(large, 0, LIMITS, LIMITS.max_memory)[1].shape == (2000, 3000, 3)


def test_errors_of_the_photo_come_through(pool, webp):
    with pytest.raises(DamagedImage):
        pool.decode(webp[:60], 0, LIMITS, LIMITS.max_memory)
    with pytest.raises(UnsupportedImage):
        pool.decode(b"a letter", 0, LIMITS, LIMITS.max_memory)
    with pytest.raises(ImageTooLarge) as refused:
        pool.decode(webp, 0, Limits(max_pixels=100), LIMITS.max_memory)
    assert refused.value.limit == "pixels"
    assert len(pool._idle) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_decoder_may_do_little_and_knows_no_secret(pool, webp, monkeypatch):
    monkeypatch.setenv("MIEN_KEYS_SECRET", "a secret of sixteen and more")
    pool.decode(webp, 0, LIMITS, LIMITS.max_memory)
    process = Path(f"/proc/{pid_of(pool)}")
    limits = {line[:26].strip(): line[26:].split()[0] for line in (process / "limits").read_text().splitlines()}
    assert limits["Max core file size"] == "0"
    assert int(limits["Max open files"]) <= 5
    assert int(limits["Max address space"]) < 2**31
    assert b"secret" not in (process / "environ").read_bytes().lower()
    opened = sorted(os.readlink(link).partition(":")[0] for link in (process / "fd").iterdir())
    assert opened == ["/dev/null"] * 3 + ["socket"] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_decoder_ends_with_the_process_that_started_it():
    program = (
        "import io, os, signal\nfrom PIL import Image\nfrom mien.engine import decode\n"
        "out = io.BytesIO()\nImage.new('RGB', (64, 64)).save(out, 'WEBP')\n"
        "decode.open_photo(out.getvalue()).pixels(64)\n"
        "print(decode.POOL._idle[0]._process.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False)
    pid = int(done.stdout)
    wait_for(lambda: not is_running(pid))


def test_a_decoder_keeps_no_texts_of_warnings(pool, webp):
    """Python keeps each different one for ever, and files choose them."""
    pool.decode(webp, 0, LIMITS, LIMITS.max_memory)
    assert "ignore" in pool._idle[0]._process.args


def test_an_idle_decoder_is_ended(pool, webp, monkeypatch):
    monkeypatch.setattr(decode_pool, "IDLE_SECONDS", 0.05)
    pool.decode(webp, 0, LIMITS, LIMITS.max_memory)
    wait_for(lambda: not pool._idle)
    assert pool.decode(webp, 0, LIMITS, LIMITS.max_memory)[1].size


@pytest.mark.parametrize(
    "claim",
    [
        {"shape": [64, 96, 4]},
        {"shape": [640, 960, 3]},
        {"shape": [-64, -96, 3]},
        {"shape": "no"},
        {"size": [0, 96]},
        {"size": [float("inf"), 64]},
        {"orientation": None},
        {"seconds": -1.0},
        {"seconds": float("nan")},
    ],
)
def test_an_answer_that_is_not_possible_is_not_believed_and_ends_its_decoder(pool, webp, monkeypatch, claim):
    answer = {"size": [96, 64], "shape": [64, 96, 3], "orientation": 1, "seconds": 0.1} | claim

    def ask(_process: object, _content: bytes, _long_side: int, _limits: Limits, descriptor: int) -> dict[str, object]:
        os.ftruncate(descriptor, 64 * 96 * 3)
        return answer

    monkeypatch.setattr(decode_pool._Process, "ask", ask)
    with pytest.raises(DamagedImage):
        pool.decode(webp, 0, LIMITS, LIMITS.max_memory)
    assert not pool._idle


def test_an_answer_that_nests_too_deep_is_a_damaged_photo(pool, webp, monkeypatch):
    def receive(*_: object) -> object:
        raise RecursionError

    monkeypatch.setattr(decode_pool, "receive_message", receive)
    with pytest.raises(DamagedImage):
        pool.decode(webp, 0, LIMITS, LIMITS.max_memory)
    assert not pool._idle


def test_a_system_without_room_for_a_process_is_too_busy(pool, webp, monkeypatch):
    def start(*_: object, **__: object) -> object:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", start)
    pool.prepare()
    with pytest.raises(Overloaded):
        pool.decode(webp, 0, LIMITS, LIMITS.max_memory)
