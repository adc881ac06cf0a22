"""Word the OpenAPI document for its readers: what each group of routes is for, and what each route does."""

from __future__ import annotations

import re
from typing import Any

TAGS = {
    "uploads": "Add photos of people, see what became of them, get them back, and give them to another person.",
    "recognition": "Ask who is in a photo, find or compare faces, and list past answers.",
    "groups": "Unknown faces, grouped by likeness: name, skip, split, merge or erase a group.",
    "faces": "The faces that are enrolled.",
    "users": "The people who are enrolled: rename, merge, set the end of a consent, forget.",
    "care": "Correct mistakes: tell that a face is not a person, and find what looks wrong.",
    "audit": "Who did what, when.",
    "service": "Whether the server is well, its metrics, and what a similarity means.",
}
_SENTENCE = re.compile(r"(.+?\.)(?:\s+|$)", re.DOTALL)


def describe(document: dict[str, Any]) -> None:
    """Give a document its tags, and each route the first sentence of its description as the title."""
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    used = {tag for operation in operations for tag in operation.get("tags", ())}
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items() if name in used]
    for operation in operations:
        if found := _SENTENCE.match(operation.get("description", "")):
            operation["summary"] = " ".join(found[1].removesuffix(".").split())
