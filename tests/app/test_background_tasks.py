"""What the worker's log tells of a task that failed: which one and why, and nothing about anybody."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path

import pytest

from mien.api.telemetry import JsonLines
from mien.backends.embedded import events
from mien.config import Settings, open_embedded
from mien.domain.errors import StorageBusy
from tests.support.fake_engine import use_fake_engine


def test_a_failed_task_is_named_in_the_log(tmp_path, monkeypatch, caplog):
    use_fake_engine(monkeypatch)
    monkeypatch.setattr(events, "IDLE_SECONDS", 0)
    backend = open_embedded(Settings(data_dir=tmp_path))

    def on_deleted(_: Path) -> None:
        raise StorageBusy("Robert's row is locked.")

    def fail() -> None:
        raise OSError(28, "No space left on device", "uploaded/Robert/1.jpg")

    with backend.app, caplog.at_level(logging.WARNING):
        worker = backend.worker(threads=1)
        monkeypatch.setattr(worker, "reconcile", fail)
        monkeypatch.setattr(worker, "_on_deleted", on_deleted)
        worker._guard(worker.reconcile)
        worker._guard(partial(worker._on_deleted, Path("uploaded/Robert/1.jpg")))
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert [(line["task"], line["error"]) for line in lines] == [("fail", "OSError"), ("on deleted", "StorageBusy")]
    assert "Robert" not in json.dumps(lines)


@pytest.mark.parametrize("name", ["reconcile", "run_once", "_watch_folder", "_recover"])
def test_the_workers_own_tasks_have_names_in_words(tmp_path, monkeypatch, name):
    use_fake_engine(monkeypatch)
    backend = open_embedded(Settings(data_dir=tmp_path))
    with backend.app:
        task = getattr(backend.worker(threads=1), name)
        assert events._name(task) == name.strip("_").replace("_", " ")
