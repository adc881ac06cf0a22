"""Besiege a running server beside an honest client, and say what it did to both.

    python -m tests.hostile.siege --minutes 60 [--photos FOLDER]

Starts `mien serve` on a loopback port with a data folder of its own: on the real engine with `--photos` (a folder for
each person, as lfw_dev), else on the fake one. The honest client has a key, recognises and enrols people, and forgets
them again; after some time alone the attackers come. At the end the server is stopped and its log and data are checked.
The exit code is 1 when an answer was wrong, the log or the data damaged, or the server ended or failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from mien.security.api_keys import KeyFile, Scope
from tests.hostile.sockets import logged
from tests.support.markers import CAST
from tests.support.painter import photo_of
from tests.support.process import MIEN, MIEN_ON_FAKE_ENGINE, free_port, serve

PEOPLE, ALONE_SECONDS, PAUSE_SECONDS, STOP_SECONDS = 6, 20.0, 0.2, 10.0
GUEST_EVERY = 50
"""Turns of the honest client after which it enrols somebody and forgets them again."""


@dataclass
class Honest:
    """A client with a key that knows what the answers should be.

    Attributes:
        url: the server's.
        key: with all scopes.
        people: two photos of each person by user id; the first is enrolled.
        guest: a photo of somebody else.
    """

    url: str
    key: str
    people: dict[str, tuple[bytes, bytes]]
    guest: bytes
    milliseconds: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    forgotten: list[str] = field(default_factory=list)

    def enroll(self, user_id: str, photo: bytes) -> None:
        with self._client() as client:
            answer = client.post("/upload", params={"user_id": user_id}, files={"image": photo})
            answer.raise_for_status()
            while client.get(answer.headers["location"]).json()["status"] == "pending":
                time.sleep(0.1)

    def work(self, seconds: float) -> None:
        """Ask who is on a photo, again and again; now and then enrol a guest and forget them."""
        until, turn = time.monotonic() + seconds, 0
        with self._client() as client:
            while time.monotonic() < until:
                turn += 1
                self._recognize(client)
                if turn % GUEST_EVERY == 0:
                    self._invite(f"guest-{len(self.forgotten)}-{random.randrange(10**6)}")
                time.sleep(PAUSE_SECONDS)

    def take_milliseconds(self) -> list[float]:
        taken, self.milliseconds = self.milliseconds, []
        return taken

    def _recognize(self, client: httpx.Client) -> None:
        user_id, (_, photo) = random.choice(list(self.people.items()))
        started = time.monotonic()
        try:
            answer = client.post("/recognize", params={"store": "false"}, files={"image": photo})
        except httpx.TransportError as error:
            self.outcomes[f"no answer: {type(error).__name__}"] += 1
            return
        self.milliseconds.append((time.monotonic() - started) * 1000)
        if answer.status_code != 200:
            self.outcomes[f"status {answer.status_code}"] += 1
            return
        named = [face["user_id"] for face in answer.json()["faces"]]
        self.outcomes["right" if user_id in named else "wrong"] += 1

    def _invite(self, guest: str) -> None:
        self.enroll(guest, self.guest)
        with self._client() as client:
            answer = client.delete(f"/users/{guest}")
        if answer.status_code in {200, 202}:
            self.forgotten.append(guest)
        else:
            self.outcomes[f"forgetting: status {answer.status_code}"] += 1

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"X-Api-Key": self.key}, timeout=60)


class Memory:
    """Samples the resident memory of a process and of those that it started, once a second, in megabytes."""

    def __init__(self, pid: int) -> None:
        self.samples: list[float] = []
        self._pid, self._is_over = pid, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(1):
            pids = [self._pid, *_children(self._pid)]
            self.samples.append(sum(map(_resident_bytes, pids)) / 2**20)


def _children(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(text) for text in path.read_text().split()]
        except OSError:
            continue
    return found


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def painted_people() -> dict[str, tuple[bytes, bytes]]:
    return {f"person-{name}": (photo_of(name), photo_of(name, photo=1)) for name in CAST[: PEOPLE + 1]}


def people_in(folder: Path) -> dict[str, tuple[bytes, bytes]]:
    """The first people of a folder who have two photos; the last of them is the guest."""
    found = {}
    for person in sorted(path for path in folder.iterdir() if path.is_dir()):
        photos = sorted(person.glob("*.jpg"))
        if len(photos) > 1:
            found[person.name] = (photos[0].read_bytes(), photos[1].read_bytes())
        if len(found) == PEOPLE + 1:
            break
    return found


def percentiles(milliseconds: list[float]) -> dict[str, float]:
    if len(milliseconds) < 2:
        return {}
    cuts = quantiles(milliseconds, n=100, method="inclusive")
    return {
        "n": len(milliseconds),
        "p50": round(cuts[49], 1),
        "p99": round(cuts[98], 1),
        "max": round(max(milliseconds), 1),
    }


def damage_of_log(log: Path) -> list[str]:
    """The lines that are not JSON objects, but for the greeting before the first one."""
    damaged = []
    for line in logged(log):
        try:
            if isinstance(json.loads(line), dict):
                continue
        except ValueError:
            pass
        damaged.append(line[:200])
    return damaged


def damage_of_data(folder: Path, forgotten: list[str], mien: tuple[str, ...]) -> list[str]:
    """What `mien audit --verify`, `mien verify-erased` and SQLite's own check find."""
    found = []
    for path in folder.glob("*.db"):
        with closing(sqlite3.connect(path)) as database:
            found += [f"{path.name}: {row}" for (row,) in database.execute("PRAGMA integrity_check") if row != "ok"]
    commands = [["audit", "--verify"], *(["verify-erased", name] for name in forgotten[-5:])]
    for command in commands:
        done = subprocess.run(
            [*mien, *command], env=os.environ | {"MIEN_DATA_DIR": str(folder)}, capture_output=True, encoding="utf-8"
        )
        if done.returncode:
            found.append(f"mien {command[0]}: exit code {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return found


def besiege(
    folder: Path, minutes: float, people: dict[str, tuple[bytes, bytes]], mien: tuple[str, ...]
) -> dict[str, Any]:
    """Run the whole siege and return the report."""
    data, log, port = folder / "data", folder / "log", free_port()
    keys = KeyFile(data / "api-keys.json")
    key, stolen = keys.create("honest", list(Scope)), keys.create("stolen", [Scope.RECOGNIZE])
    (data / "access-keys.json").write_text(
        json.dumps({"ADMIN": {"secret": "admin's", "identity": "admin", "collections": ["c"]}}), "utf-8"
    )
    (data / "access-keys.json").chmod(0o600)
    settings = {"MIEN_ACCESS_KEYS_FILE": str(data / "access-keys.json"), "FORWARDED_ALLOW_IPS": ""}
    server = serve(data, port, settings, mien, log)
    memory = Memory(server.pid)
    try:
        *residents, (_, (guest, _)) = people.items()
        honest = Honest(f"http://127.0.0.1:{port}", key, dict(residents), guest)
        for user_id, (photo, _) in residents:
            honest.enroll(user_id, photo)
        honest.work(ALONE_SECONDS)
        alone, quiet = percentiles(honest.take_milliseconds()), list(memory.samples)
        attackers = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.attackers", str(port), str(minutes * 60)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        worker = threading.Thread(target=honest.work, args=(minutes * 60,))
        worker.start()
        told, _ = attackers.communicate(json.dumps({"keys": [None, stolen], "seed": random.randrange(10**9)}))
        worker.join()
        besieged = percentiles(honest.take_milliseconds())
        honest.work(ALONE_SECONDS)
        afterwards = percentiles(honest.take_milliseconds())
    finally:
        memory.stop()
        started = time.monotonic()
        survived = server.poll() is None
        server.send_signal(signal.SIGTERM)
        server.wait()
    return {
        "honest": {"outcomes": dict(honest.outcomes), "alone": alone, "besieged": besieged, "afterwards": afterwards},
        "attackers": json.loads(told),
        "memory_mb": {"alone": max(quiet), "highest": max(memory.samples), "at the end": memory.samples[-1]},
        "memory_by_minute": [round(size) for size in memory.samples[::60]],
        "survived": survived,
        "stopped_in_seconds": round(time.monotonic() - started, 1),
        "log": damage_of_log(log)[:20],
        "log_mb": round(log.stat().st_size / 2**20, 1),
        "data": damage_of_data(data, honest.forgotten, mien),
        "forgotten": len(honest.forgotten),
    }


def is_good(report: dict[str, Any]) -> bool:
    outcomes = report["honest"]["outcomes"]
    return (
        outcomes.keys() == {"right"}
        and report["survived"]
        and report["stopped_in_seconds"] <= STOP_SECONDS + 1
        and not (report["log"] or report["data"] or report["attackers"]["failures"])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--photos", type=Path, help="use the real engine and these people")
    parser.add_argument("--folder", type=Path, help="where to keep data and log; default: a temporary folder")
    options = parser.parse_args()
    people, mien = (people_in(options.photos), MIEN) if options.photos else (painted_people(), MIEN_ON_FAKE_ENGINE)
    with tempfile.TemporaryDirectory(prefix="mien-siege-", ignore_cleanup_errors=True) as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report = besiege(folder, options.minutes, people, mien)
    print(json.dumps(report, indent=2))
    sys.exit(0 if is_good(report) else 1)


if __name__ == "__main__":
    main()
