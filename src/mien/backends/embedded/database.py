"""Define the application's tables in mien.db: their schema, and the statements for each kind of record.

The gallery keeps its tables in the same file; connections, transactions and errors are those of its SQLite layer,
`mien.gallery.store.database`. The record tables are named as on AWS. Their rows are items in JSON, with the
attributes that are searched in columns of their own. A file beside the database reserves disk space, so that an
erasure can be written down and carried out on a full disk.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.app.name_claims import claims
from mien.backends import serialization
from mien.backends.embedded import migrations
from mien.domain.errors import StorageReadOnly
from mien.domain.groups import DismissedFace, FaceGroup
from mien.domain.records import Consent, Erasure, ErasureReceipt, FaceRecord, NameClaim, Person, Recognition, Upload
from mien.gallery.store import private_files
from mien.gallery.store.database import Database, Transaction

SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS BucketObjects (
      Key TEXT PRIMARY KEY, ContentType TEXT NOT NULL, Metadata TEXT NOT NULL) WITHOUT ROWID
    """,
    "CREATE TABLE IF NOT EXISTS BucketMark (Mark TEXT PRIMARY KEY) WITHOUT ROWID",
    """
    CREATE TABLE IF NOT EXISTS FaceMetadata (
      FaceId TEXT PRIMARY KEY, UserId TEXT, ImagePath TEXT, Timestamp TEXT NOT NULL, Item TEXT NOT NULL) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS FaceMetadata_Timestamp ON FaceMetadata (Timestamp, FaceId)",
    "CREATE INDEX IF NOT EXISTS FaceMetadata_UserId ON FaceMetadata (UserId, Timestamp, FaceId)",
    "CREATE INDEX IF NOT EXISTS FaceMetadata_ImagePath ON FaceMetadata (ImagePath, Timestamp, FaceId)",
    """
    CREATE INDEX IF NOT EXISTS FaceMetadata_GroupId
      ON FaceMetadata (json_extract(Item, '$.GroupId'), UserId, Timestamp, FaceId)
      WHERE json_extract(Item, '$.GroupId') IS NOT NULL
    """,
    """
    CREATE TABLE IF NOT EXISTS RecognitionResults (
      RecognitionId TEXT PRIMARY KEY, UserId TEXT, ImagePath TEXT, Timestamp TEXT NOT NULL, Item TEXT NOT NULL)
      WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS RecognitionResults_Timestamp ON RecognitionResults (Timestamp, RecognitionId)",
    "CREATE INDEX IF NOT EXISTS RecognitionResults_UserId ON RecognitionResults (UserId, Timestamp, RecognitionId)",
    """
    CREATE INDEX IF NOT EXISTS RecognitionResults_ImagePath
      ON RecognitionResults (ImagePath, Timestamp, RecognitionId)
    """,
    """
    CREATE TABLE IF NOT EXISTS RecognitionUsers (
      UserId TEXT, RecognitionId TEXT, PRIMARY KEY (UserId, RecognitionId)) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS RecognitionUsers_RecognitionId ON RecognitionUsers (RecognitionId)",
    """
    CREATE TABLE IF NOT EXISTS Uploads (
      ImagePath TEXT PRIMARY KEY, UserId TEXT, Timestamp TEXT NOT NULL, Item TEXT NOT NULL) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS Uploads_Timestamp ON Uploads (Timestamp, ImagePath)",
    "CREATE INDEX IF NOT EXISTS Uploads_UserId ON Uploads (UserId, Timestamp, ImagePath)",
    """
    CREATE INDEX IF NOT EXISTS Uploads_Digest
      ON Uploads (json_extract(Item, '$.Digest'), Timestamp, ImagePath)
    """,
    """
    CREATE TABLE IF NOT EXISTS People (
      UserId TEXT PRIMARY KEY, ImagePath TEXT, Timestamp TEXT NOT NULL, Item TEXT NOT NULL) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS People_Timestamp ON People (Timestamp, UserId)",
    "CREATE INDEX IF NOT EXISTS People_ImagePath ON People (ImagePath, Timestamp, UserId)",
    """
    CREATE TABLE IF NOT EXISTS NameClaims (
      Key TEXT PRIMARY KEY, UserId TEXT, ImagePath TEXT, Timestamp TEXT NOT NULL, Item TEXT NOT NULL) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS NameClaims_Timestamp ON NameClaims (Timestamp, Key)",
    "CREATE INDEX IF NOT EXISTS NameClaims_UserId ON NameClaims (UserId, Timestamp, Key)",
    """
    CREATE TABLE IF NOT EXISTS Consents (
      UserId TEXT PRIMARY KEY, Timestamp TEXT NOT NULL, Item TEXT NOT NULL) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS Consents_Timestamp ON Consents (Timestamp, UserId)",
    """
    CREATE TABLE IF NOT EXISTS Erasures (
      UserId TEXT PRIMARY KEY, ImagePath TEXT, Timestamp TEXT NOT NULL, Item TEXT NOT NULL) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS Erasures_Timestamp ON Erasures (Timestamp, UserId)",
    "CREATE INDEX IF NOT EXISTS Erasures_ImagePath ON Erasures (ImagePath, Timestamp, UserId)",
    """
    CREATE TABLE IF NOT EXISTS ErasureReceipts (
      ErasureId TEXT PRIMARY KEY, UserId TEXT, Timestamp TEXT NOT NULL, Item TEXT NOT NULL) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS ErasureReceipts_Timestamp ON ErasureReceipts (Timestamp, ErasureId)",
    "CREATE INDEX IF NOT EXISTS ErasureReceipts_UserId ON ErasureReceipts (UserId, Timestamp, ErasureId)",
    """
    CREATE TABLE IF NOT EXISTS FaceGroups (
      GroupId TEXT PRIMARY KEY, UserId TEXT, Timestamp TEXT NOT NULL, Item TEXT NOT NULL) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS FaceGroups_Timestamp ON FaceGroups (Timestamp, GroupId)",
    "CREATE INDEX IF NOT EXISTS FaceGroups_UserId ON FaceGroups (UserId, Timestamp, GroupId)",
    """
    CREATE TABLE IF NOT EXISTS DismissedFaces (
      UploadId TEXT PRIMARY KEY, Timestamp TEXT NOT NULL, Item TEXT NOT NULL) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS DismissedFaces_Timestamp ON DismissedFaces (Timestamp, UploadId)",
    """
    CREATE TABLE IF NOT EXISTS Events (
      Key TEXT PRIMARY KEY, DueAt REAL NOT NULL, Attempts INTEGER NOT NULL DEFAULT 0,
      Generation INTEGER NOT NULL DEFAULT 0, Dead INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS Events_DueAt ON Events (Dead, DueAt)",
)
TABLES = frozenset(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", " ".join(SCHEMA)))
CREATED = frozenset(re.findall(r"CREATE (?:TABLE|INDEX) IF NOT EXISTS (\w+)", " ".join(SCHEMA)))
OLD_READ_ONLY = (
    "The data folder was made by an earlier version of Mien and is read-only. Make it writable, and run `mien doctor` "
    "once."
)

EVENT_COLUMNS = {"Holder": "TEXT", "Lost": "INTEGER NOT NULL DEFAULT 0", "Version": "TEXT"}
"""Columns of Events that data folders of earlier versions lack."""

HOLDER_INDEX = "CREATE INDEX IF NOT EXISTS Events_Holder ON Events (Holder) WHERE Holder IS NOT NULL"


@dataclass(frozen=True, slots=True)
class RecordStatements:
    """The SQL for one kind of record.

    `put` takes the columns by name, `get` a JSON array of keys, `delete` a key. A listing is `find`, conditions
    joined by AND, and `newest_first`, which takes the limit. The conditions are `of_user` (a user id), `of_users` (a
    JSON array of them), `of_image` (an image path), `of_digest` (a SHA-256 of a photo), `of_nobody`, `since` and
    `until` (a timestamp each) and `before` (the timestamp and the key of the last record of the page before).
    """

    put: str
    get: str
    delete: str
    find: str
    before: str
    newest_first: str
    of_user: str = "UserId = ?"
    of_users: str = "UserId IN (SELECT value FROM json_each(?))"
    of_image: str = "ImagePath = ?"
    of_digest: str = "json_extract(Item, '$.Digest') = ?"
    of_nobody: str = "UserId IS NULL"
    since: str = "Timestamp >= ?"
    until: str = "Timestamp <= ?"


STATEMENTS: dict[type[Any], RecordStatements] = {
    FaceRecord: RecordStatements(
        put="INSERT OR REPLACE INTO FaceMetadata VALUES (:FaceId, :UserId, :ImagePath, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN FaceMetadata ON FaceId = value ORDER BY json_each.key",
        delete="DELETE FROM FaceMetadata WHERE FaceId = ?",
        find="SELECT Item FROM FaceMetadata WHERE",
        before="(Timestamp, FaceId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, FaceId DESC LIMIT ?",
    ),
    Recognition: RecordStatements(
        put="INSERT OR REPLACE INTO RecognitionResults VALUES (:RecognitionId, :UserId, :ImagePath, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN RecognitionResults ON RecognitionId = value ORDER BY json_each.key",
        delete="DELETE FROM RecognitionResults WHERE RecognitionId = ?",
        find="SELECT Item FROM RecognitionResults WHERE",
        of_user="RecognitionId IN (SELECT RecognitionId FROM RecognitionUsers WHERE UserId = ?)",
        of_users="RecognitionId IN (SELECT RecognitionId FROM RecognitionUsers, json_each(?) WHERE UserId = value)",
        before="(Timestamp, RecognitionId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, RecognitionId DESC LIMIT ?",
    ),
    Upload: RecordStatements(
        put="INSERT OR REPLACE INTO Uploads VALUES (:ImagePath, :UserId, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN Uploads ON ImagePath = value ORDER BY json_each.key",
        delete="DELETE FROM Uploads WHERE ImagePath = ?",
        find="SELECT Item FROM Uploads WHERE",
        before="(Timestamp, ImagePath) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, ImagePath DESC LIMIT ?",
    ),
    Person: RecordStatements(
        put="INSERT OR REPLACE INTO People VALUES (:UserId, :ImagePath, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN People ON UserId = value ORDER BY json_each.key",
        delete="DELETE FROM People WHERE UserId = ?",
        find="SELECT Item FROM People WHERE",
        before="(Timestamp, UserId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, UserId DESC LIMIT ?",
    ),
    NameClaim: RecordStatements(
        put="INSERT OR REPLACE INTO NameClaims VALUES (:Key, :UserId, :ImagePath, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN NameClaims ON NameClaims.Key = value ORDER BY json_each.key",
        delete="DELETE FROM NameClaims WHERE Key = ?",
        find="SELECT Item FROM NameClaims WHERE",
        before="(Timestamp, Key) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, Key DESC LIMIT ?",
    ),
    Consent: RecordStatements(
        put="INSERT OR REPLACE INTO Consents VALUES (:UserId, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN Consents ON UserId = value ORDER BY json_each.key",
        delete="DELETE FROM Consents WHERE UserId = ?",
        find="SELECT Item FROM Consents WHERE",
        before="(Timestamp, UserId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, UserId DESC LIMIT ?",
    ),
    Erasure: RecordStatements(
        put="INSERT OR REPLACE INTO Erasures VALUES (:UserId, :ImagePath, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN Erasures ON UserId = value ORDER BY json_each.key",
        delete="DELETE FROM Erasures WHERE UserId = ?",
        find="SELECT Item FROM Erasures WHERE",
        before="(Timestamp, UserId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, UserId DESC LIMIT ?",
    ),
    ErasureReceipt: RecordStatements(
        put="INSERT OR REPLACE INTO ErasureReceipts VALUES (:ErasureId, :UserId, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN ErasureReceipts ON ErasureId = value ORDER BY json_each.key",
        delete="DELETE FROM ErasureReceipts WHERE ErasureId = ?",
        find="SELECT Item FROM ErasureReceipts WHERE",
        before="(Timestamp, ErasureId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, ErasureId DESC LIMIT ?",
    ),
    FaceGroup: RecordStatements(
        put="INSERT OR REPLACE INTO FaceGroups VALUES (:GroupId, :UserId, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN FaceGroups ON GroupId = value ORDER BY json_each.key",
        delete="DELETE FROM FaceGroups WHERE GroupId = ?",
        find="SELECT Item FROM FaceGroups WHERE",
        before="(Timestamp, GroupId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, GroupId DESC LIMIT ?",
    ),
    DismissedFace: RecordStatements(
        put="INSERT OR REPLACE INTO DismissedFaces VALUES (:UploadId, :Timestamp, :Item)",
        get="SELECT Item FROM json_each(?) JOIN DismissedFaces ON UploadId = value ORDER BY json_each.key",
        delete="DELETE FROM DismissedFaces WHERE UploadId = ?",
        find="SELECT Item FROM DismissedFaces WHERE",
        before="(Timestamp, UploadId) < (?, ?)",
        newest_first="ORDER BY Timestamp DESC, UploadId DESC LIMIT ?",
    ),
}

FACE_SUMMARIES = (
    "SELECT UserId, count(*), Item, max(Timestamp || FaceId) FROM json_each(?) JOIN FaceMetadata ON UserId = value"
    " WHERE json_extract(Item, '$.Negative') IS NOT 1 GROUP BY UserId"
)
"""Takes a JSON array of user ids; the item is that of the row with the maximum, as SQLite promises."""


LIST_GROUPS = (
    "SELECT json_extract(Item, '$.GroupId') AS GroupId, count(*) AS Faces, min(Timestamp), max(Timestamp)"
    " FROM FaceMetadata WHERE json_extract(Item, '$.GroupId') IS NOT NULL AND +UserId IS NULL"
    " AND (?1 OR json_extract(Item, '$.GroupId') NOT IN"
    " (SELECT GroupId FROM FaceGroups WHERE json_extract(Item, '$.Skipped')))"
    " GROUP BY 1 HAVING count(*) >= ?2 AND (count(*) < ?3 OR count(*) = ?3 AND GroupId > ?4)"
    " ORDER BY Faces DESC, 1 LIMIT ?5"
)
COUNT_GROUPS = (
    "SELECT value, count(*), min(Timestamp), max(Timestamp) FROM json_each(?)"
    " JOIN FaceMetadata ON json_extract(Item, '$.GroupId') = value AND UserId IS NULL GROUP BY 1"
)
GROUPS_OF = (
    "SELECT FaceId, json_extract(Item, '$.GroupId') FROM json_each(?) CROSS JOIN FaceMetadata ON FaceId = value"
    " WHERE +UserId IS NULL AND json_extract(Item, '$.GroupId') IS NOT NULL"
)
FACES_OF_GROUP = (
    "SELECT Item FROM FaceMetadata WHERE json_extract(Item, '$.GroupId') = ? AND (UserId IS NOT NULL) = ?"
    " ORDER BY json_extract(Item, '$.Confidence') DESC, FaceId LIMIT ?"
)
UNGROUPED = (
    "SELECT Item FROM FaceMetadata WHERE UserId IS NULL AND json_extract(Item, '$.GroupId') IS NULL"
    " AND (Timestamp, FaceId) < (?, ?) ORDER BY Timestamp DESC, FaceId DESC LIMIT ?"
)
EMPTY_GROUPS = (
    "SELECT GroupId FROM FaceGroups WHERE GroupId NOT IN (SELECT json_extract(Item, '$.GroupId') FROM FaceMetadata"
    " WHERE json_extract(Item, '$.GroupId') IS NOT NULL)"
)
"""What `mien.app.ports.GroupCatalog` reads; the faces of a group are found by the index FaceMetadata_GroupId, and
`+` keeps SQLite from reading all faces of nobody instead."""


def open_database(path: Path) -> Database:
    """Open mien.db, brought up to date where an earlier version of Mien made it. Raises StorageError.

    A file that can only be read is opened, too, when it has all tables.
    """
    database = Database(path)
    if database.is_read_only:
        migrations.check_version(database, STEPS)
        if not _names(database).issuperset(TABLES):
            raise StorageReadOnly(OLD_READ_ONLY)
        return database
    migrations.migrate(database, STEPS)
    if not _names(database).issuperset(CREATED):
        with database.write() as transaction:
            _create_tables(transaction)
    migrations.remove_copies(path.parent, migrations.KEPT_SECONDS)
    return database


def _names(database: Database) -> set[str]:
    return {name for (name,) in database.read("SELECT name FROM sqlite_master")}


def _create_tables(transaction: Transaction) -> None:
    """Create what a data folder lacks."""
    for statement in SCHEMA:
        transaction.execute(statement)
    _add_event_columns(transaction)
    _reserve_names(transaction)


def _add_event_columns(transaction: Transaction) -> None:
    existing = {row[1] for row in transaction.read("PRAGMA table_info(Events)")}
    for name, kind in EVENT_COLUMNS.items():
        if name not in existing:
            transaction.execute(f"ALTER TABLE Events ADD COLUMN {name} {kind}")
    transaction.execute(HOLDER_INDEX)


def _reserve_names(transaction: Transaction) -> None:
    """Reserve the ids and names of people who were enrolled before names were reserved."""
    without = "SELECT Item FROM People WHERE UserId NOT IN (SELECT UserId FROM NameClaims)"
    for (item,) in transaction.read(without):
        for claim in claims(serialization.from_item(Person, json.loads(item))):
            row = serialization.to_item(claim)
            transaction.execute(
                "INSERT OR IGNORE INTO NameClaims VALUES (?, ?, NULL, ?, ?)",
                (claim.key, claim.user_id, row["Timestamp"], json.dumps(row)),
            )


STEPS: tuple[migrations.Step, ...] = (_create_tables,)
"""What turned an earlier version's database into that of the next one, in order.

A change of what is stored adds a step. A table or an index that SCHEMA gains needs none: it is created when it is
missing.
"""


def truncate_wal(database: Database) -> None:
    """Empty the write-ahead log, in which deleted rows could still be read, unless the folder is read-only."""
    if database.is_read_only:
        return
    database.read("PRAGMA wal_checkpoint(TRUNCATE)")


def stored_model(database: Database, collection: str) -> str | None:
    """Return the model version with which the faces of a collection were enrolled; None before the first."""
    if not database.read("SELECT 1 FROM sqlite_master WHERE name = 'collection'"):
        return None
    found = database.read("SELECT model_version FROM collection WHERE collection_id = ?", (collection,))
    return found[0][0] if found else None


RESERVED_BYTES = 16 << 20
"""Twice what SQLite's log grows to before it is written into the database."""
_MIN_FREE_BYTES = 128 << 20
"""Less free space than this is not taken for a reserve."""


class Reserve:
    """Reserves space in a data folder, when there is plenty, until it is released."""

    def __init__(self, path: Path) -> None:
        """Create the file `path` where it is missing; no error where that cannot be."""
        self._path = path
        with suppress(OSError):
            if not path.exists() and shutil.disk_usage(path.parent).free >= _MIN_FREE_BYTES:
                self._create()

    def release(self) -> bool:
        """Free the space until the next start; False when it is freed already."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def _create(self) -> None:
        descriptor = private_files.create_file(self._path)
        try:
            os.posix_fallocate(descriptor, 0, RESERVED_BYTES)
        finally:
            os.close(descriptor)
