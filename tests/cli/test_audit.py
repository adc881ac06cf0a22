"""Each command leaves an entry in the audit log; `mien audit` lists, verifies and exports it."""

from __future__ import annotations

import errno
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import typer

from mien.backends.embedded.backend import EmbeddedBackend
from mien.cli.command import ACTIONS, EXEMPT
from mien.cli.main import COMMANDS, app
from mien.config import open_embedded
from mien.domain.policy import Policy
from mien.security import api_keys
from mien.security.audit import pseudonym
from mien.security.signing import Signer
from mien.settings import Settings
from tests.support.fake_engine import FakeFaceEngine
from tests.support.painter import photo_of


@pytest.fixture
def known(mien: Any, people: Path, tmp_path: Path) -> Any:
    with open_embedded(Settings(data_dir=tmp_path / "data")).app as app:
        for name in ("Ada", "Grace"):  # whose ids are their names
            app.enroll((people / name / "0.jpg").read_bytes(), name)
    assert mien("enroll", people).code == 0
    (tmp_path / "new.jpg").write_bytes(photo_of("Ada", photo=5))
    return mien


def entries(mien: Any, *filters: object) -> list[dict[str, Any]]:
    """The entries, oldest first."""
    found: list[dict[str, Any]] = mien("audit", "--json", "--limit", "1000", *filters).json["entries"]
    return found[::-1]


def test_every_command_has_an_action_or_a_reason_for_none() -> None:
    names = {function.__name__.replace("_", "-") for functions in COMMANDS.values() for function in functions}
    top: Any = typer.main.get_command(app)
    nested = {name: group.commands for name, group in top.commands.items() if hasattr(group, "commands")}
    names |= {f"{group} {command}" for group, commands in nested.items() for command in commands}
    assert names == ACTIONS.keys() | EXEMPT.keys()
    assert not ACTIONS.keys() & EXEMPT.keys()


WORDS: dict[str, list[str]] = {
    "enroll": ["new.jpg", "--user", "Ada"],
    "recognize": ["new.jpg"],
    "detect": ["new.jpg"],
    "compare": ["new.jpg", "new.jpg"],
    "rename": ["Ada", "Ada Lovelace"],
    "merge": ["Ada", "Grace"],
    "consent": ["Ada", "--no-end"],
    "reject": ["Ada", "new.jpg"],
    "forget": ["Ada", "--yes"],
    "verify-erased": ["Ada"],
    "calibrate": ["--reset"],
    "backup": ["a.mien"],
    "photos": ["Ada"],
    "keys create": ["door"],
}


NEED_MORE = {"keys revoke", "move", "discover", "sort", *(name for name in ACTIONS if name.startswith("groups "))}
"""Commands about something that has to be made first; their own tests look for their entries."""


@pytest.mark.parametrize("command", [name for name in ACTIONS if name not in NEED_MORE])
def test_every_command_writes_one_entry(known: Any, command: str) -> None:
    before = len(entries(known))
    known(*command.split(), *WORDS.get(command, []))
    _, entry = entries(known)[before:]  # the first is that of the listing before
    assert (entry["actor"], entry["action"], entry["outcome"]) == ("command line", ACTIONS[command].value, "done")


def test_keys_are_recorded_by_their_ids_without_secret_or_name(mien: Any, tmp_path: Path) -> None:
    key = mien("keys", "create", "front door").out.strip()
    _, key_id, secret = key.split("_", 2)
    assert mien("keys", "revoke", key_id).code == 0
    created, revoked = entries(mien)
    assert (created["action"], created["key_id"]) == ("create_key", key_id)
    assert (revoked["action"], revoked["key_id"]) == ("revoke_key", key_id)
    stored = b"".join(file.read_bytes() for file in (tmp_path / "data").glob("mien.db*"))
    assert secret.encode() not in stored
    assert b"front door" not in stored


def test_one_entry_counts_all_photos_of_a_command(known: Any) -> None:
    (enrolled,) = entries(known)
    assert enrolled["counts"] == {"faces": 3, "photos": 3}
    assert len(enrolled["persons"]) == 2
    known("recognize", "new.jpg")
    recognized = entries(known)[-1]
    assert recognized["counts"] == {"faces": 1, "matched": 1, "photos": 1}
    assert (recognized["threshold"], recognized["model"]) == (80.0, FakeFaceEngine().model_version)


def test_a_failure_is_recorded_by_its_code_and_a_wrong_argument_is_not(known: Any) -> None:
    before = len(entries(known))
    assert known("forget", "Nobody", "--yes").code == 1
    assert known("recognize", "missing.jpg").code == 2
    assert known("forget", "Ada", answer="n\n").code != 0
    assert [entry["outcome"] for entry in entries(known)[before + 1 :]] == ["user_not_found"]


def test_a_person_is_found_by_id_before_and_after_the_erasure(known: Any, tmp_path: Path) -> None:
    assert known("forget", "Ada", "--yes").code == 0
    assert [entry["action"] for entry in entries(known, "--person", "Ada")] == ["enroll", "erase"]
    erasure = entries(known, "--action", "erase")[0]
    assert erasure["counts"] == {"faces": 2, "photos": 2}
    assert known("verify-erased", "Ada").code == 0
    stored = b"".join(file.read_bytes() for file in (tmp_path / "data").glob("mien.db*"))
    assert b"Ada" not in stored


def test_a_person_is_found_by_name_with_all_ids(mien: Any, people: Path) -> None:
    mien("enroll", people)
    ids = {person["name"]: person["user_id"] for person in mien("people", "--json").json["people"]}
    by_name = entries(mien, "--person", "Ada")
    assert [entry["action"] for entry in by_name] == ["enroll"]
    assert by_name == entries(mien, "--person", ids["Ada"])[: len(by_name)]
    mien("rename", "Grace", "Grace Hopper")
    mien("merge", "Grace Hopper", "Ada")
    listing = mien("audit", "--person", "Ada")
    assert all(user_id in listing.err for user_id in ids.values())
    actions = {entry["action"] for entry in entries(mien, "--person", "Ada")}
    assert actions == {"enroll", "change_person", "merge", "audit"}
    assert entries(mien, "--person", "Nobody") == []


def test_times_and_actors_filter_the_listing(known: Any) -> None:
    assert entries(known, "--until", "2020-01-01") == []
    assert entries(known, "--actor", "key 00000000") == []
    assert [entry["action"] for entry in entries(known, "--since", "2020-01-01", "--action", "enroll")] == ["enroll"]
    assert "command line" in known("audit").out


def test_a_whole_log_verifies_and_a_changed_one_names_the_place(known: Any, tmp_path: Path) -> None:
    for _ in range(5):
        known("people")
    assert known("audit", "--verify").code == 0
    with sqlite3.connect(tmp_path / "data" / "mien.db") as connection:
        connection.execute("""UPDATE AuditLog SET Item = replace(Item, '"read"', '"erase"') WHERE Sequence = 3""")
    broken = known("audit", "--verify")
    assert broken.code == 1
    assert "Entry 3 was changed" in broken.out
    found = known("audit", "--verify", "--json")
    assert found.code == 1
    assert not found.json["whole"]
    assert found.json["breaks"][0]["sequence"] == 4


def test_the_export_holds_one_entry_per_line_as_it_is_chained(known: Any, tmp_path: Path) -> None:
    known("people")
    assert known("audit", "--export", "log.jsonl", "--json").json == {"entries": 2, "file": "log.jsonl"}
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["enroll", "read"]
    assert known("audit", "--export", "no/such/folder").code == 2


def test_retention_is_a_setting_of_the_embedded_backend_only(
    known: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MIEN_AUDIT_DAYS", "30")
    assert known("audit", "--verify").code == 0
    for wrong in ("0", "x", "1000000"):
        monkeypatch.setenv("MIEN_AUDIT_DAYS", wrong)
        assert known("people").code == 4
    monkeypatch.setenv("MIEN_AUDIT_DAYS", "30")
    monkeypatch.setenv("MIEN_BACKEND", "aws")
    assert "MIEN_AUDIT_DAYS" in known("people").err


def test_what_the_worker_does_is_recorded(known: Any, tmp_path: Path) -> None:
    backend = EmbeddedBackend(tmp_path / "data", "face-collection", Policy(), FakeFaceEngine)
    with backend.app as app:
        app.upload(photo_of("Grace", photo=7), "Grace")
        worker = backend.worker(threads=1)
        while worker.run_once():  # among them the events of photos that the command line has indexed itself
            pass
        next((tmp_path / "data" / "bucket" / "uploaded" / "Ada").iterdir()).unlink()
        worker.reconcile()
    recorded = [entry for entry in entries(known) if entry["actor"] == "worker"]
    assert [(entry["action"], entry["counts"]["photos"]) for entry in recorded] == [("enroll", 1), ("delete", 1)]


def test_the_pseudonyms_are_made_with_the_secret_of_the_folder(known: Any, tmp_path: Path) -> None:
    signer = Signer((tmp_path / "data" / "secret").read_bytes())
    (enrolled,) = entries(known)
    assert enrolled["persons"] == sorted(pseudonym(signer, name) for name in ("Ada", "Grace"))


def test_a_key_with_which_the_disk_was_filled_can_be_revoked(
    mien: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = mien("keys", "create", "front door").out.split("_")[1]
    reserve, write = tmp_path / "data" / "reserve", api_keys.write
    reserve.write_bytes(b"")

    def write_if_there_is_room(path: Path, content: bytes) -> None:
        if reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(api_keys, "write", write_if_there_is_room)
    assert mien("keys", "create", "another").code == 4
    assert mien("keys", "revoke", key_id).code == 0
    assert mien("keys", "list", "--json").json == {"keys": []}
