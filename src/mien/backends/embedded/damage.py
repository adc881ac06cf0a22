"""Look for records in mien.db that cannot be read, which SQLite's own check does not find."""

from __future__ import annotations

from typing import Any

from mien.backends.embedded.catalog import SqliteCatalog
from mien.backends.embedded.statements import STATEMENTS
from mien.domain.faces import iterate_pages
from mien.gallery.store import queries
from mien.gallery.store.database import Database

PAGE_SIZE = 1000
_HAS_GALLERY = "SELECT 1 FROM sqlite_master WHERE name = 'gallery_schema'"


def check_records(database: Database) -> int:
    """Read every record, and return how many there are. Raises StorageDamaged, which names the table."""
    if database.read(_HAS_GALLERY):
        queries.check_records(database)
    catalog = SqliteCatalog(database)
    return sum(_count(catalog, kind) for kind in STATEMENTS)


def _count(catalog: SqliteCatalog, kind: type[Any]) -> int:
    return sum(1 for _ in iterate_pages(lambda token: catalog.find(kind, limit=PAGE_SIZE, token=token)))
