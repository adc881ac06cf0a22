"""Define the application's tables in mien.db, and open it, brought up to date.

The gallery keeps its tables in the same file; connections, transactions and errors are those of its SQLite layer,
`mien.gallery.store.database`. The record tables are named as on AWS. Their rows are items in JSON, with the
attributes that are searched in columns of their own.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from mien.app.name_claims import claims
from mien.backends import serialization
from mien.backends.embedded import migrations
from mien.domain.errors import StorageReadOnly
from mien.domain.records import Person
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
EMPTYING_SECONDS, PAUSE_SECONDS = 5.0, 0.3
OLD_READ_ONLY = (
    "The data folder was made by an earlier version of Mien and is read-only. Make it writable, and run `mien doctor` "
    "once."
)

EVENT_COLUMNS = {"Holder": "TEXT", "Lost": "INTEGER NOT NULL DEFAULT 0", "Version": "TEXT"}
"""Columns of Events that data folders of earlier versions lack."""

HOLDER_INDEX = "CREATE INDEX IF NOT EXISTS Events_Holder ON Events (Holder) WHERE Holder IS NOT NULL"


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


def truncate_wal(database: Database) -> bool:
    """Empty the write-ahead log, in which deleted rows could still be read, unless the folder is read-only.

    Returns False while somebody reads an older state, from the log or from the file, where it has to stay for them.
    """
    return database.is_read_only or database.truncate_log()


def empty_wal(database: Database) -> bool:
    """Empty the write-ahead log, again and again for some seconds, between which others can write.

    Returns False when somebody reads an older state all the time.
    """
    until = time.monotonic() + EMPTYING_SECONDS
    while not truncate_wal(database):
        if time.monotonic() >= until:
            return False
        time.sleep(PAUSE_SECONDS)
    return True


def rebuild(database: Database) -> None:
    """Write the database anew, without the copies of rows that stay in a page when SQLite divides it.

    `secure_delete` knows nothing of them. Raises StorageError, as when the disk has no room for a second copy.
    """
    database.read("VACUUM")
    truncate_wal(database)


def stored_model(database: Database, collection: str) -> str | None:
    """Return the model version with which the faces of a collection were enrolled; None before the first."""
    if not database.read("SELECT 1 FROM sqlite_master WHERE name = 'collection'"):
        return None
    found = database.read("SELECT model_version FROM collection WHERE collection_id = ?", (collection,))
    return found[0][0] if found else None
