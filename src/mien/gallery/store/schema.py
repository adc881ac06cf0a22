"""Define the gallery's tables.

A row number holds the key of its collection in the upper 32 bits and a number counted within the collection in the
lower ones. So the faces of a collection lie together on disk, a listing is a range scan without an index, numbers
are never used twice, and "added since" is "row greater than".

A vector never changes: the tables of vectors only gain rows with greater numbers and lose rows. A user whose embedding
changes gets a new row in `user_vector`. So a vector index is up to date when it has read the rows after those that it
knows, and has checked that the rows of its answer still exist; no log of changes is kept.
"""

from __future__ import annotations

import uuid

from mien.domain.errors import StorageError
from mien.gallery.store.database import Database

VERSION = 1
NUMBER_BITS = 32

_TABLES = """
CREATE TABLE IF NOT EXISTS gallery_schema (version INTEGER NOT NULL, identity TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS collection (
    key           INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id TEXT    NOT NULL UNIQUE,
    model_version TEXT    NOT NULL,
    created_at    REAL    NOT NULL,
    face_count    INTEGER NOT NULL DEFAULT 0,
    user_count    INTEGER NOT NULL DEFAULT 0,
    faces_added   INTEGER NOT NULL DEFAULT 0,
    users_added   INTEGER NOT NULL DEFAULT 0,
    vectors_added INTEGER NOT NULL DEFAULT 0,   -- of users
    tags          TEXT    NOT NULL DEFAULT '{}',
    settings      TEXT    NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS face (
    row               INTEGER PRIMARY KEY,
    face_id           BLOB NOT NULL UNIQUE,
    image_id          BLOB,                     -- NULL: added without an image, and its face id stands for it
    external_image_id TEXT,
    user              INTEGER,
    "left" REAL NOT NULL, top REAL NOT NULL, width REAL NOT NULL, height REAL NOT NULL,
    confidence        REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS face_image_id ON face (image_id) WHERE image_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS face_external_image_id ON face (external_image_id) WHERE external_image_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS face_user ON face (user) WHERE user IS NOT NULL;
CREATE TABLE IF NOT EXISTS face_vector (row INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS user (
    row        INTEGER PRIMARY KEY,
    user_id    TEXT    NOT NULL,
    face_count INTEGER NOT NULL DEFAULT 0,
    vector     INTEGER                          -- row in user_vector; NULL: no faces, never matches
);
CREATE INDEX IF NOT EXISTS user_user_id ON user (user_id);
CREATE TABLE IF NOT EXISTS user_vector (row INTEGER PRIMARY KEY, vector BLOB NOT NULL, user INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS dropped (key INTEGER PRIMARY KEY);  -- deleted collections whose rows are being erased
"""

ERASE_STATEMENTS = (
    "DELETE FROM face_vector WHERE row IN (SELECT row FROM face_vector WHERE row > ? AND row < ? LIMIT ?)",
    "DELETE FROM face WHERE row IN (SELECT row FROM face WHERE row > ? AND row < ? LIMIT ?)",
    "DELETE FROM user_vector WHERE row IN (SELECT row FROM user_vector WHERE row > ? AND row < ? LIMIT ?)",
    "DELETE FROM user WHERE row IN (SELECT row FROM user WHERE row > ? AND row < ? LIMIT ?)",
)
"""Each deletes some rows that lie between two numbers from one of the tables whose rows belong to a collection."""


def prepare(database: Database) -> str:
    """Create the tables where they are missing; return the database's identity, which tells it from any other.

    Raises StorageError for a folder of a newer version of Mien.
    """
    if database.is_read_only and database.read("SELECT 1 FROM sqlite_master WHERE name = 'gallery_schema'"):
        ((version, identity),) = database.read("SELECT version, identity FROM gallery_schema")
        return _checked(version, identity)
    with database.write() as transaction:
        for statement in _TABLES.split(";\n"):
            transaction.execute(statement)
        found = transaction.read("SELECT version, identity FROM gallery_schema")
        if not found:
            found = [(VERSION, uuid.uuid4().hex)]
            transaction.execute("INSERT INTO gallery_schema VALUES (?, ?)", found[0])
    ((version, identity),) = found
    return _checked(version, identity)


def first_row(key: int) -> int:
    """Return the number above which the rows of a collection lie; they end below `first_row(key + 1)`."""
    return key << NUMBER_BITS


def _checked(version: int, identity: str) -> str:
    if version > VERSION:
        raise StorageError(
            f"The data folder was written by a newer version of Mien (schema {version}; this one knows {VERSION}). "
            "Update Mien, or choose another folder."
        )
    return identity
