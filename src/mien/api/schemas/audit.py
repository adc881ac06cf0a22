"""Define the JSON of the audit log."""

from __future__ import annotations

from mien.api.schemas.base import Schema, example


class AuditEntry(Schema):
    """Who did what, with what outcome; `persons` are pseudonyms, the same for the same person in all entries."""

    model_config = example(
        sequence=1287,
        time="2026-11-27T09:15:02.114503Z",
        actor="key 1a2b3c4d",
        action="recognize",
        outcome="done",
        model="sface-2021dec-1",
        threshold=80.0,
        key_id=None,
        counts={"faces": 2, "matched": 1, "photos": 1, "unknown": 1},
        persons=["6d2f0c5b6a3f4e0b9a1f7e5c2d4b8a90"],
        previous="0c3f6f4f2b1f4c0f9b6f1d4a7f5e2b9c8d7a6e5f4c3b2a190807060504030201",
    )
    sequence: int
    time: str
    actor: str
    action: str
    outcome: str
    model: str | None
    threshold: float | None
    key_id: str | None
    counts: dict[str, int]
    persons: list[str]
    previous: str


class AuditEntries(Schema):
    entries: list[AuditEntry]
    next_cursor: str | None
