"""The audit log: an entry survives, a gap or a change shows, and nobody is named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mien.backends.embedded import audit as embedded_audit
from mien.backends.embedded.audit import SqliteAudit
from mien.domain.errors import InvalidInput, StorageError, StorageFull
from mien.gallery.store.database import Database, Transaction
from mien.security.audit import Action, Activity, AuditFilter, LogLines, pseudonym
from mien.security.audit_chain import Part, breaks, digest_of, sign, write_item
from mien.security.signing import Signer
from tests.support.process import PATIENCE_SECONDS

SECRET = b"0123456789abcdef"
EVERYTHING = AuditFilter()
START = datetime(2026, 11, 1, tzinfo=UTC)

APPEND = """
import sys
from pathlib import Path
from mien.backends.embedded.audit import SqliteAudit
from mien.gallery.store.database import Database
from mien.security.audit import Action, Activity
from mien.security.signing import Signer
audit = SqliteAudit(Database(Path(sys.argv[1])), Signer(b"0123456789abcdef"), lambda: None)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    audit.record(Activity(sys.argv[2], Action.RECOGNIZE))
"""


class Clock:
    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "mien.db")
    yield opened
    opened.close()


@pytest.fixture
def audit(database: Database) -> SqliteAudit:
    return SqliteAudit(database, Signer(SECRET), lambda: "model-1")


def activity(number: int = 0, action: Action = Action.RECOGNIZE, user_id: str | None = None) -> Activity:
    made = Activity(f"key {number:08x}", action)
    made.concern(user_id)
    return made


def filled(audit: SqliteAudit, entries: int = 10) -> SqliteAudit:
    for number in range(entries):
        audit.record(activity(number))
    return audit


def reasons(audit: SqliteAudit) -> str:
    return " ".join(found.reason for found in audit.breaks())


def change(database: Database, statement: str, *values: object) -> None:
    with database.write() as transaction:
        transaction.execute(statement, values)


def test_entries_are_numbered_and_each_holds_the_hash_of_the_one_before(audit: SqliteAudit) -> None:
    items = list(filled(audit).export(EVERYTHING))
    assert [json.loads(item)["sequence"] for item in items] == list(range(1, 11))
    assert [json.loads(item)["previous"] for item in items[1:]] == [digest_of(item) for item in items[:-1]]
    assert audit.breaks() == []


def test_an_empty_log_is_whole(audit: SqliteAudit) -> None:
    assert audit.breaks() == []


@pytest.mark.parametrize("sequence", [1, 5, 10])
@pytest.mark.parametrize(
    ("old", "new"), [('"outcome":"done"', '"outcome":"user_not_found"'), ("key 0", "key f"), (":{}", ':{"faces":1}')]
)
def test_a_changed_entry_shows(audit: SqliteAudit, database: Database, sequence: int, old: str, new: str) -> None:
    filled(audit)
    change(database, "UPDATE AuditLog SET Item = replace(Item, ?, ?) WHERE Sequence = ?", old, new, sequence)
    assert f"Entry {sequence} was changed" in reasons(audit)


@pytest.mark.parametrize(("first", "last"), [(1, 1), (4, 4), (4, 7), (1, 9)])
def test_a_gap_shows(audit: SqliteAudit, database: Database, first: int, last: int) -> None:
    filled(audit)
    change(database, "DELETE FROM AuditLog WHERE Sequence BETWEEN ? AND ?", first, last)
    gap = f"The entries {first} to {last} are missing." if last > first else f"Entry {first} is missing."
    assert gap in reasons(audit)


@pytest.mark.parametrize("kept", [9, 5, 0])
def test_a_missing_end_shows_also_after_further_entries(audit: SqliteAudit, database: Database, kept: int) -> None:
    filled(audit)
    change(database, "DELETE FROM AuditLog WHERE Sequence > ?", kept)
    missing = f"The entries {kept + 1} to 10{{}} are missing." if kept < 9 else "Entry 10{} is missing."
    assert missing.format(", at the end,") in reasons(audit)
    audit.record(activity())
    assert missing.format("") in reasons(audit)


@pytest.mark.parametrize("forge_sequence", [False, True])
def test_an_exchanged_order_shows(audit: SqliteAudit, database: Database, forge_sequence: bool) -> None:
    filled(audit)
    third, fourth = database.read("SELECT Item FROM AuditLog WHERE Sequence IN (3, 4) ORDER BY Sequence")
    for sequence, (item,) in ((3, fourth), (4, third)):
        if forge_sequence:
            item = json.dumps(json.loads(item) | {"sequence": sequence}, separators=(",", ":"))
        change(database, "UPDATE AuditLog SET Item = ? WHERE Sequence = ?", item, sequence)
    assert {3, 4} <= {found.sequence for found in audit.breaks()}


def test_an_end_that_is_missing_with_a_head_made_to_fit_shows_also_after_further_entries(
    audit: SqliteAudit, database: Database
) -> None:
    filled(audit)
    change(database, "DELETE FROM AuditLog WHERE Sequence > 6")
    digest = digest_of(database.read("SELECT Item FROM AuditLog WHERE Sequence = 6")[0][0])
    forged = sign(Signer(b"another secret....."), "head", 6, digest)
    row = (forged.sequence, forged.digest, forged.mac)
    change(database, "UPDATE AuditMarks SET Sequence = ?, Digest = ?, Mac = ? WHERE Name = 'head'", *row)
    assert "mark of the last entry was changed" in reasons(audit)
    audit.record(activity())
    assert "Entry 6 was changed, or entry 7 does not follow it." in reasons(audit)


def test_a_history_written_anew_without_the_secret_shows(audit: SqliteAudit, database: Database) -> None:
    filled(audit)
    digest = "0" * 64
    for sequence in range(1, 11):
        item = write_item(sequence, "2026-11-01T00:00:00.000000Z", activity(99).facts(None), digest)
        digest = digest_of(item)
        change(database, "UPDATE AuditLog SET Item = ? WHERE Sequence = ?", item, sequence)
    assert "Entry 10 was changed" in reasons(audit)


def test_entries_behind_the_head_show(audit: SqliteAudit, database: Database) -> None:
    filled(audit)
    last = database.read("SELECT Item FROM AuditLog WHERE Sequence = 10")[0][0]
    item = write_item(11, "2026-11-01T00:00:00.000000Z", activity().facts(None), digest_of(last))
    change(database, "INSERT INTO AuditLog VALUES (11, ?)", item)
    assert "Entry 11 was changed, or was not written by Mien." in reasons(audit)


@pytest.mark.parametrize("mark", ["head", "checkpoint"])
def test_a_missing_mark_shows_and_does_not_stop_the_log(audit: SqliteAudit, database: Database, mark: str) -> None:
    filled(audit)
    change(database, "DELETE FROM AuditMarks WHERE Name = ?", mark)
    assert audit.breaks()
    audit.record(activity())
    assert audit.breaks()
    assert audit.find(EVERYTHING, 1, None).items[0].sequence == 11


@pytest.mark.parametrize("item", ["", "[]", "null", "{}", "not JSON"])
def test_an_entry_that_cannot_be_read_shows(audit: SqliteAudit, database: Database, item: str) -> None:
    filled(audit)
    change(database, "UPDATE AuditLog SET Item = ? WHERE Sequence = 5", item)
    assert "Entry 5 cannot be read." in reasons(audit)
    with pytest.raises(StorageError, match="Entry 5 of the audit log"):
        audit.find(EVERYTHING, 10, None)


def test_retention_removes_the_oldest_and_leaves_a_checkpoint(database: Database) -> None:
    clock = Clock()
    audit = SqliteAudit(database, Signer(SECRET), lambda: None, days=30, now=clock)
    for _ in range(6):
        clock.time += timedelta(days=10)
        audit.record(activity())
    entries = audit.find(EVERYTHING, 100, None).items
    assert min(entry.time for entry in entries) >= (clock.time - timedelta(days=30)).isoformat()[:19]
    assert "expire" in {entry.action for entry in entries}
    assert audit.breaks() == []


def test_retention_of_many_entries_is_done_in_steps_and_the_rest_stays_whole(database: Database) -> None:
    clock = Clock()
    keeping = SqliteAudit(database, Signer(SECRET), lambda: None, now=clock)
    filled(keeping, 2500)
    clock.time += timedelta(days=31)
    audit = SqliteAudit(database, Signer(SECRET), lambda: None, days=30, now=clock)
    left = []
    for _ in range(4):
        audit.expire()
        left.append(len(list(audit.export(EVERYTHING))))
        assert audit.breaks() == []
    assert left == [1501, 502, 3, 3]


def test_what_retention_removed_cannot_be_extended_by_hand(database: Database) -> None:
    clock = Clock()
    audit = SqliteAudit(database, Signer(SECRET), lambda: None, days=30, now=clock)
    filled(audit)
    clock.time += timedelta(days=31)
    audit.record(activity())
    change(database, "DELETE FROM AuditLog WHERE Sequence <= 11")
    assert "missing" in reasons(audit)


def test_a_tampered_first_entry_does_not_stop_the_log(database: Database) -> None:
    clock = Clock()
    audit = SqliteAudit(database, Signer(SECRET), lambda: None, days=30, now=clock)
    filled(audit)
    change(database, "UPDATE AuditLog SET Item = 'x' WHERE Sequence = 1")
    clock.time += timedelta(days=31)
    audit.record(activity())
    assert audit.find(EVERYTHING, 1, None).items[0].actor == "key 00000000"


def test_two_processes_and_their_threads_append_one_chain(audit: SqliteAudit, tmp_path: Path) -> None:
    def child(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", APPEND, str(tmp_path / "mien.db"), name, "200"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    children = [child("first"), child("second")]
    for process in children:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in children:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: audit.record(activity(number)), range(200)))
    assert [process.wait(PATIENCE_SECONDS) for process in children] == [0, 0]
    for process in children:
        process.communicate()
    assert audit.breaks() == []
    actors = [entry.actor for entry in audit.find(EVERYTHING, 1000, None).items]
    assert (actors.count("first"), actors.count("second"), len(actors)) == (200, 200, 600)


def test_a_killed_process_loses_no_entry_that_it_had_recorded(tmp_path: Path, audit: SqliteAudit) -> None:
    program = APPEND.replace("Action.RECOGNIZE))", "Action.RECOGNIZE)); print(number, flush=True)")
    command = [sys.executable, "-c", program, str(tmp_path / "mien.db"), "killed", "1000000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        answered = sum(1 for _ in zip(range(50), process.stdout, strict=False))
        process.kill()
        answered += sum(1 for _ in process.stdout)
    assert audit.breaks() == []
    assert len(list(audit.export(EVERYTHING))) >= answered >= 50


def test_entries_are_found_by_time_action_actor_and_person(database: Database) -> None:
    clock = Clock()
    audit = SqliteAudit(database, Signer(SECRET), lambda: None, now=clock)
    for number, (action, user_id) in enumerate(
        [(Action.UPLOAD, "Ada"), (Action.ERASE, "Ada"), (Action.UPLOAD, "Grace"), (Action.READ, None)]
    ):
        clock.time = START + timedelta(hours=number)
        audit.record(activity(number, action, user_id))

    def found(**wanted: object) -> list[int]:
        return [entry.sequence for entry in audit.find(AuditFilter(**wanted), 10, None).items]  # type: ignore[arg-type]

    assert found() == [4, 3, 2, 1]
    assert found(since=START + timedelta(hours=2)) == [4, 3]
    assert found(until=START + timedelta(hours=2)) == [2, 1]
    assert found(action="upload") == [3, 1]
    assert found(actor="key 00000001") == [2]
    assert found(user_ids=("Ada",)) == [2, 1]
    assert found(user_ids=("Nobody", " Ada "), action="erase") == [2]
    assert found(user_ids=("Nobody",)) == []


def test_pages_hold_each_entry_once_while_others_are_added(audit: SqliteAudit) -> None:
    filled(audit, 25)
    seen: list[int] = []
    token: str | None = None
    while True:
        page = audit.find(EVERYTHING, 10, token)
        seen += [entry.sequence for entry in page.items]
        audit.record(activity())
        token = page.next_token
        if token is None:
            break
    assert seen == list(range(25, 0, -1))
    with pytest.raises(InvalidInput):
        audit.find(EVERYTHING, 10, "x")


def test_the_same_person_has_the_same_pseudonym_and_another_installation_another() -> None:
    signer = Signer(SECRET)
    assert pseudonym(signer, "Zoë") == pseudonym(signer, "Zoe\u0308 ")
    assert (
        len({pseudonym(signer, "Ada"), pseudonym(signer, "ada"), pseudonym(Signer(b"another secret 12"), "Ada")}) == 3
    )


def test_the_bytes_of_the_log_hold_neither_names_nor_the_secret(audit: SqliteAudit, tmp_path: Path) -> None:
    for user_id in ("Ada Lovelace", "Grace Hopper"):
        audit.record(activity(1, Action.ERASE, user_id))
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"key 00000001" in stored
    assert not any(private in stored for private in (b"Ada", b"Hopper", SECRET, SECRET.hex().encode()))


@pytest.mark.parametrize(
    ("action", "is_refused"), [(Action.RECOGNIZE, True), (Action.READ, True), (Action.ERASE, False)]
)
def test_only_an_erasure_goes_on_when_the_log_cannot_be_written_and_says_so_in_one_line(
    audit: SqliteAudit,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    action: Action,
    is_refused: bool,
) -> None:
    def full(*_: object) -> None:
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(database, "write", full)
    if is_refused:
        with pytest.raises(StorageFull):
            audit.record(activity(1, action))
    else:
        audit.record(activity(1, action))
        (line,) = caplog.records
        assert (line.message, line.exc_info) == ("an erasure has no entry in the audit log", None)


def test_every_caller_who_waits_for_a_failed_write_learns_of_it(
    audit: SqliteAudit, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageFull("The disk is full.")

    def outcome(number: int) -> str:
        try:
            audit.record(activity(number))
        except StorageFull as error:
            return error.code
        return "done"

    monkeypatch.setattr(database, "write", full)
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(outcome, range(40))) == {"storage_full"}
    monkeypatch.undo()
    assert outcome(0) == "done"
    assert len(list(audit.export(EVERYTHING))) == 1


def test_log_lines_are_one_structured_record_each(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "mien.audit"):
        LogLines(Signer(SECRET), "rekognition").record(activity(7, Action.ERASE, "Ada"))
        LogLines().record(activity(7, Action.ERASE, "Ada"))
    first, second = (vars(record)["audit"] for record in caplog.records)
    assert first["persons"] == [pseudonym(Signer(SECRET), "Ada")]
    assert (first["action"], first["actor"], first["model"]) == ("erase", "key 00000007", "rekognition")
    assert second["persons"] == []
    with pytest.raises(InvalidInput, match="CloudWatch"):
        LogLines().find(EVERYTHING, 1, None)


def test_breaks_needs_both_marks() -> None:
    assert [found.sequence for found in breaks([Part([], None, None)], Signer(SECRET))] == [0, 0]


def between_pieces(database: Database, patch: pytest.MonkeyPatch, work: Callable[[], object]) -> list[object]:
    """Let something happen whenever a piece of the log has been read, and return what that gave."""
    plain, done = database.snapshot, []

    @contextmanager
    def snapshot() -> Iterator[Transaction]:
        with plain() as transaction:
            yield transaction
        done.append(work())

    patch.setattr(database, "snapshot", snapshot)
    patch.setattr(embedded_audit, "BATCH", 4)
    return done


def test_the_log_of_the_database_can_be_emptied_while_the_audit_log_is_verified(
    audit: SqliteAudit, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(audit)
    emptied = between_pieces(database, monkeypatch, database.truncate_log)
    assert audit.breaks() == []
    assert emptied == [True, True, True]


def test_a_log_to_which_others_append_while_it_is_verified_is_whole(
    audit: SqliteAudit, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(audit)
    appended = between_pieces(database, monkeypatch, lambda: audit.record(activity()))
    assert audit.breaks() == []
    assert len(appended) > 1


@pytest.mark.parametrize("is_tampered", [False, True])
def test_a_log_from_which_retention_removes_entries_while_it_is_verified_is_whole(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_tampered: bool
) -> None:
    clock = Clock()
    filled(SqliteAudit(database, Signer(SECRET), lambda: None, now=clock), 40)
    clock.time += timedelta(days=31)
    audit = SqliteAudit(database, Signer(SECRET), lambda: None, days=30, now=clock)

    def remove() -> None:
        for _ in range(3):  # faster than they are read
            audit.expire()
        if is_tampered:
            change(database, "UPDATE AuditMarks SET Sequence = Sequence + 1 WHERE Name = 'checkpoint'")

    removed = between_pieces(database, monkeypatch, remove)
    assert bool(audit.breaks()) == is_tampered
    assert len(removed) > 1


@pytest.mark.parametrize("statement", ["DELETE FROM AuditLog WHERE Sequence > 9", "DELETE FROM AuditLog"])
def test_entries_that_vanish_while_the_log_is_verified_are_missed(
    audit: SqliteAudit, database: Database, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    filled(audit)
    between_pieces(database, monkeypatch, lambda: change(database, statement))
    assert "missing" in reasons(audit)
