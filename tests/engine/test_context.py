from __future__ import annotations

import resource
from pathlib import Path

import pytest

from mien.engine import context
from mien.engine.context import EngineContext


@pytest.fixture
def cache(monkeypatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(context, "user_cache_path", lambda _: tmp_path)
    return tmp_path / "models"


def never() -> bytes:
    raise AssertionError


def test_what_was_made_once_is_kept_for_other_processes(cache):
    path = EngineContext().cached("key", lambda: b"content")
    assert path == cache / "key"
    assert path.read_bytes() == b"content"
    assert EngineContext().cached("key", never) == path


def test_a_full_disk_is_done_without_and_nothing_half_written_stays(cache):
    one = EngineContext()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        assert one.cached("key", lambda: bytes(10_000)) == bytes(10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(cache.iterdir()) == []


def test_a_caller_is_alone_until_another_comes(cache):
    one = EngineContext(3)
    with one.track_call():
        assert one.is_idle()
        with one.track_call():
            assert not one.is_idle()
    assert (one.threads, one.is_idle()) == (3, True)
