"""What the worker's log tells of a task that failed: which one and why, and nothing about anybody."""

from __future__ import annotations

import json
import logging
import threading
from functools import partial

import pytest

from mien.api.logs import JsonLines
from mien.backends.embedded import events
from mien.config import open_embedded
from mien.domain.errors import StorageBusy
from mien.settings import Settings
from tests.support.fake_engine import use_fake_engine


def test_a_failed_task_is_named_in_the_log(tmp_path, monkeypatch, caplog):
    use_fake_engine(monkeypatch)
    monkeypatch.setattr(events, "IDLE_SECONDS", 0)
    backend = open_embedded(Settings(data_dir=tmp_path))

    def watch(_: threading.Event) -> None:
        raise StorageBusy("Robert's row is locked.")

    def fail() -> None:
        raise OSError(28, "No space left on device", "uploaded/Robert/1.jpg")

    with backend.app, caplog.at_level(logging.WARNING):
        worker = backend.worker(threads=1)
        monkeypatch.setattr(worker, "reconcile", fail)
        monkeypatch.setattr(worker.watcher, "watch", watch)
        worker._guard(worker.reconcile)
        worker._guard(partial(worker.watcher.watch, threading.Event()))
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert [(line["task"], line["error"]) for line in lines] == [("fail", "OSError"), ("watch", "StorageBusy")]
    assert "Robert" not in json.dumps(lines)


@pytest.mark.parametrize(("name", "words"), [("reconcile", "reconcile"), ("run_once", "run once")])
def test_the_workers_own_tasks_have_names_in_words(tmp_path, monkeypatch, name, words):
    use_fake_engine(monkeypatch)
    backend = open_embedded(Settings(data_dir=tmp_path))
    with backend.app:
        assert events._name(getattr(backend.worker(threads=1), name)) == words


def test_a_worker_may_be_stopped_before_it_is_started(tmp_path, monkeypatch):
    use_fake_engine(monkeypatch)
    backend = open_embedded(Settings(data_dir=tmp_path))
    with backend.app:
        worker = backend.worker(threads=1)
        worker.stop()
        worker.start()
        worker.stop()
        assert not any(thread.is_alive() for thread in worker._threads)
