"""API keys that are created, revoked and checked by many at once: none is lost, and none comes back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from mien.domain.errors import NotAuthenticated
from mien.security.api_keys import KeyFile, Scope, key_id_of

CLERKS, KEYS_EACH = 6, 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_clerks_do_not_undo_each_others_work(path: Path) -> None:
    def work(number: int) -> tuple[list[str], list[str]]:
        file = KeyFile(path)  # each has its own, as each process would
        keys = [file.create(f"clerk {number}", [Scope.UPLOAD]) for _ in range(KEYS_EACH)]
        for key in keys[::2]:
            file.revoke(key_id_of(key))
        return keys[1::2], keys[::2]

    with ThreadPoolExecutor(CLERKS) as clerks:
        done = list(clerks.map(work, range(CLERKS)))
    kept, revoked = ([key for one in done for key in one[which]] for which in (0, 1))
    file = KeyFile(path)
    assert {key.key_id for key in file.list()} == set(map(key_id_of, kept))
    for key in revoked:
        with pytest.raises(NotAuthenticated):
            file.check(key)


def test_a_good_key_is_good_while_others_come_and_go(path: Path) -> None:
    file, is_over = KeyFile(path), Event()
    key = file.create("door", [Scope.RECOGNIZE])

    def check() -> int:
        reader, times = KeyFile(path), 0
        while not is_over.is_set():
            assert reader.check(key).name == "door"
            times += 1
        return times

    with ThreadPoolExecutor(3) as readers:
        running = [readers.submit(check) for _ in range(3)]
        for _ in range(40):
            file.revoke(key_id_of(file.create("visitor", [Scope.UPLOAD])))
        is_over.set()
        assert all(one.result() > 0 for one in running)
