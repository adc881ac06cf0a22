"""A server and the command line work on one data folder at once: locks are held, and nothing answered is lost.

A few seconds by default; MIEN_TEST_SECONDS=600 works for ten minutes.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from tests.app.served import JPEG, Served
from tests.support.painter import photo_of
from tests.support.process import PATIENCE_SECONDS, wait_for

SECONDS = float(os.environ.get("MIEN_TEST_SECONDS", "10"))
SAMPLE_SECONDS = 0.25
FIRST_FACE = 20
"""From this number on, no two painted people look alike."""

MAX_VERIFIED = 10


@dataclass
class Journal:
    """What one worker was answered: each person's photos and recognitions, their names, and who was forgotten."""

    photos: dict[str, set[str]] = field(default_factory=dict)
    recognitions: dict[str, set[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)

    def forget(self, user_id: str) -> None:
        for kept in (self.photos, self.recognitions, self.names):
            kept.pop(user_id)
        self.forgotten.append(user_id)


class Worker:
    """Does one thing after another to people of its own, who look like nobody of the other workers."""

    def __init__(self, served: Served, number: int, folder: Path, random: random.Random) -> None:
        self.journal, self.done = Journal(), 0
        self._served, self._random, self._folder = served, random, folder
        self._face, self._numbers = FIRST_FACE + number, (f"worker {number} person {each}" for each in count())
        self._user_id: str | None = None
        self._photo = 0

    def step(self) -> None:
        self._photo = (self._photo + 1) % 10
        if self._user_id is None or not self.journal.photos[self._user_id]:
            self.enroll()
        else:
            self._random.choices((self.enroll, self.recognize, self.rename, self.forget), (3, 4, 2, 1))[0]()
        self.done += 1

    def enroll(self) -> None: ...
    def recognize(self) -> None: ...
    def rename(self) -> None: ...
    def forget(self) -> None: ...

    def _image(self) -> bytes:
        return photo_of(self._face, photo=self._photo)

    def _known(self, user_id: str, name: str) -> None:
        self._user_id = user_id
        self.journal.photos.setdefault(user_id, set())
        self.journal.recognitions.setdefault(user_id, set())
        self.journal.names[user_id] = name

    def _person(self) -> str:
        assert self._user_id is not None
        return self._user_id


class Client(Worker):
    """Asks the server."""

    def enroll(self) -> None:
        name = next(self._numbers) if self._user_id is None else self.journal.names[self._user_id]
        answer = self._served.client.post("/upload", params={"name": name}, content=self._image(), headers=JPEG)
        assert answer.status_code in {200, 202}
        body = answer.json()
        if self._user_id is None:  # the first photo makes the person known to other routes
            wait_for(lambda: self._served.client.get(answer.headers["location"]).json()["status"] == "indexed")
        self._known(body["user_id"], name)
        self.journal.photos[body["user_id"]].add(body["image_path"])

    def recognize(self) -> None:
        body = self._served.client.post("/recognize", content=self._image(), headers=JPEG).raise_for_status().json()
        assert {face["user_id"] for face in body["faces"]} <= {self._user_id, None}
        self.journal.recognitions[self._person()].add(body["recognition_id"])

    def rename(self) -> None:
        name = next(self._numbers)
        answer = self._served.client.patch(f"/users/{self._person()}", json={"name": name})
        assert answer.status_code == 200
        self.journal.names[self._person()] = name

    def forget(self) -> None:
        assert self._served.client.delete(f"/users/{self._person()}").status_code in {200, 202}
        self.journal.forget(self._person())
        self._user_id = None


class CommandLine(Worker):
    """Starts a command for each thing."""

    def enroll(self) -> None:
        name = next(self._numbers) if self._user_id is None else self.journal.names[self._user_id]
        (photo,) = self._served.answer("enroll", self._file(), "--user", name)["photos"]
        assert photo["outcome"] in {"enrolled", "already enrolled"}
        self._known(photo["user_id"], name)
        self.journal.photos[photo["user_id"]].add(photo["image_path"])

    def recognize(self) -> None:
        (photo,) = self._served.answer("recognize", self._file())["photos"]
        self.journal.recognitions[self._person()].add(photo["recognition_id"])

    def rename(self) -> None:
        name = next(self._numbers)
        self._served.answer("rename", self._person(), name)
        self.journal.names[self._person()] = name

    def forget(self) -> None:
        assert self._served.answer("forget", self._person(), "--yes")["traces"] == []
        self.journal.forget(self._person())
        self._user_id = None

    def _file(self) -> str:
        path = self._folder / "photo.jpg"
        path.write_bytes(self._image())
        return str(path)


@pytest.mark.slow
def test_nothing_answered_is_lost_while_a_server_and_commands_work_at_once(served: Served, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    moments = random.Random(seed)
    workers: list[Worker] = [Client(served, number, tmp_path, random.Random(moments.random())) for number in range(3)]
    workers.append(CommandLine(served, len(workers), tmp_path, random.Random(moments.random())))
    until = time.monotonic() + SECONDS

    def work(worker: Worker) -> None:
        while time.monotonic() < until:
            worker.step()

    def sample() -> None:
        while time.monotonic() < until:
            served.assert_sound()
            time.sleep(SAMPLE_SECONDS)

    failures = run_at_once([*(lambda worker=worker: work(worker) for worker in workers), sample])
    print("done", [worker.done for worker in workers])
    assert failures == []
    wait_until_all_is_indexed(served)
    served.assert_sound()
    check_with_the_server(served, [worker.journal for worker in workers])
    served.process.terminate()
    served.process.wait(PATIENCE_SECONDS)
    check_with_commands(served, [worker.journal for worker in workers], moments)


def run_at_once(tasks: list[Callable[[], None]]) -> list[BaseException]:
    """Run every task on a thread of its own, and return what they raised."""
    failures: list[BaseException] = []

    def guarded(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def wait_until_all_is_indexed(served: Served) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while served.answer("repair", "--report")["photos_without_state"]:
        assert time.monotonic() < until
        time.sleep(0.5)


def check_with_the_server(served: Served, journals: list[Journal]) -> None:
    for journal in journals:
        for user_id, paths in journal.photos.items():
            assert served.client.get(f"/users/{user_id}").json()["name"] == journal.names[user_id]
            assert set(pages(served, "/faces", "faces", "image_path", user_id)) == paths
            recognised = set(pages(served, "/recognitions", "recognitions", "recognition_id", user_id))
            assert recognised <= journal.recognitions[user_id]
            for recognition_id in journal.recognitions[user_id]:  # one made before the first photo names nobody
                assert served.client.get(f"/recognitions/{recognition_id}").status_code == 200
        for user_id in journal.forgotten:
            assert served.client.get(f"/users/{user_id}").status_code == 404


def pages(served: Served, route: str, items: str, key: str, user_id: str) -> Iterator[str]:
    cursor = None
    while True:
        parameters = {"user_id": user_id, "limit": "100"} | ({"cursor": cursor} if cursor else {})
        body = served.client.get(route, params=parameters).raise_for_status().json()
        yield from (item[key] for item in body[items])
        if (cursor := body.get("next_cursor")) is None:
            return


def check_with_commands(served: Served, journals: list[Journal], moments: random.Random) -> None:
    with closing(sqlite3.connect(served.folder / "mien.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    counts = served.answer("repair", "--report")
    assert set(counts.values()) == {0}
    assert served.answer("audit", "--verify")["whole"]
    forgotten = [user_id for journal in journals for user_id in journal.forgotten]
    for user_id in moments.sample(forgotten, min(len(forgotten), MAX_VERIFIED)):
        assert served.answer("verify-erased", user_id)["erased"]
