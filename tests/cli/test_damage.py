"""One damaged record of the database: a sentence in place of a traceback, and no backup of it is restored."""

from __future__ import annotations

import io
import json
import sqlite3

import pytest

from mien.backends.embedded import archive
from mien.cli.exit_codes import ExitCode

ADAS_ID = "(SELECT UserId FROM People WHERE json_extract(Item, '$.Name') = 'Ada')"
DAMAGES = {
    "People": f"UPDATE People SET Item = '{{' WHERE UserId = {ADAS_ID}",
    "Uploads": f"UPDATE Uploads SET Item = '{{}}' WHERE UserId = {ADAS_ID}",
    "FaceMetadata": f"UPDATE FaceMetadata SET Item = '{{}}' WHERE UserId = {ADAS_ID}",
    "Erasures": "INSERT INTO Erasures VALUES ('u-1', NULL, '2026-01-01T00:00:00.000000Z', '[]')",
    "face_vector": "UPDATE face_vector SET vector = x'00' WHERE row = (SELECT min(row) FROM face_vector)",
    "user_vector": "INSERT INTO user_vector VALUES (4294999999, 17, 1)",
    "collection": "UPDATE collection SET settings = '['",
}
COMMANDS = {
    "People": ["people", "faces", "recognize shown.jpg", "repair"],
    "Uploads": ["repair"],
    "FaceMetadata": ["people", "faces", "recognize shown.jpg", "repair", "forget Ada --yes"],
    "Erasures": ["repair"],
    "face_vector": ["recognize shown.jpg", "inspect"],
    "collection": ["recognize shown.jpg"],
}


@pytest.fixture
def known(mien, people, tmp_path):
    assert mien("enroll", people).code == 0
    (tmp_path / "shown.jpg").write_bytes((people / "Ada" / "0.jpg").read_bytes())
    return mien


def damage(database, statement: str) -> None:
    with sqlite3.connect(database) as connection:
        connection.executescript(statement)
    connection.close()


@pytest.mark.parametrize(("table", "words"), [(table, words) for table, each in COMMANDS.items() for words in each])
def test_a_command_says_in_a_sentence_which_table_has_a_damaged_record(known, tmp_path, table, words):
    damage(tmp_path / "data" / "mien.db", DAMAGES[table])
    answer = known(*words.split(), "--json")
    assert answer.code == ExitCode.ERROR
    assert answer.json["error"]["code"] == "storage_damaged"
    assert "docs/troubleshooting.md" in answer.err
    assert f"in the table {table} of mien.db" in answer.err or "in the database" in answer.err
    assert "Ada" not in answer.err


@pytest.mark.parametrize("table", [*DAMAGES])
def test_the_doctor_tells_of_a_damaged_record(known, tmp_path, table):
    damage(tmp_path / "data" / "mien.db", DAMAGES[table])
    answer = known("doctor", "--json")
    assert answer.code == ExitCode.ERROR
    assert any(not each["works"] and "is damaged" in each["detail"] for each in answer.json["checks"])


@pytest.mark.parametrize("table", ["FaceMetadata", "Uploads", "Erasures"])
def test_a_person_is_forgotten_although_a_record_of_somebody_else_is_damaged(known, tmp_path, table):
    damage(tmp_path / "data" / "mien.db", DAMAGES[table])
    assert known("forget", "Grace", "--yes").code == 0


def backup_with(known, tmp_path, *statements: str, keys: bytes | None = None, database: bytes | None = None):
    """Write a backup of a folder whose database was changed, or with other files in it."""
    assert known("keys", "create", "me").code == 0
    assert known("backup", "a.mien", "--with-keys").code == 0
    with (tmp_path / "a.mien").open("rb") as file:
        contents = {entry.name: entry.stream.read() for entry in archive.entries(file)}
    head = json.loads(contents.pop(archive.HEAD))
    (tmp_path / "changed.db").write_bytes(contents["mien.db"])
    for statement in statements:
        damage(tmp_path / "changed.db", statement)
    contents["mien.db"] = (tmp_path / "changed.db").read_bytes() if database is None else database
    contents["api-keys.json"] = keys or contents["api-keys.json"]
    stream = io.BytesIO()
    writer = archive.ArchiveWriter(stream, head)
    for name, content in contents.items():
        writer.add_bytes(name, content)
    writer.close()
    (tmp_path / "b.mien").write_bytes(stream.getvalue())


@pytest.mark.parametrize("table", DAMAGES)
def test_a_backup_with_a_damaged_record_is_not_restored(known, tmp_path, table):
    backup_with(known, tmp_path, DAMAGES[table])
    answer = known("restore", "b.mien", "--data-dir", "new")
    assert (answer.code, "Nothing was restored from it." in answer.err) == (ExitCode.ERROR, True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"statements": ["UPDATE gallery_schema SET version = 99"]}, "newer version of Mien"),
        ({"statements": ["UPDATE gallery_schema SET version = '99'"]}, "newer version of Mien"),
        ({"statements": ["INSERT INTO gallery_schema VALUES (1, 'twice')"]}, "cannot be read"),
        ({"statements": [DAMAGES["People"], "DROP TABLE NameClaims"]}, "cannot be read"),
        ({"statements": ["DROP TABLE Uploads"]}, "lacks tables"),
        ({"keys": b"{"}, "API keys cannot be read"),
        ({"database": b""}, "lacks tables"),
    ],
    ids=["newer", "newer in text", "two versions", "names to reserve", "no uploads", "keys", "empty"],
)
def test_a_backup_that_could_not_be_used_is_not_restored(known, tmp_path, change, reason):
    backup_with(known, tmp_path, *change.pop("statements", ()), **change)
    answer = known("restore", "b.mien", "--data-dir", "new")
    assert (answer.code, reason in answer.err) == (ExitCode.ERROR, True), answer.err
    assert not (tmp_path / "new").exists()


def test_a_backup_that_was_only_written_anew_is_restored(known, tmp_path):
    backup_with(known, tmp_path)
    assert known("restore", "b.mien", "--data-dir", "new").code == 0
