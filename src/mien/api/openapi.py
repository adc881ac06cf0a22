"""Export the OpenAPI document: `python -m mien.api.openapi > docs/openapi.json`.

A test compares the committed document with this one.
"""

from __future__ import annotations

import json
import sys

from mien.api.api import create_api
from mien.app.app import FaceApp
from mien.app.ports import Recognizer
from mien.backends.memory.bucket import MemoryBucket
from mien.backends.memory.catalog import MemoryCatalog
from mien.settings import Settings


def document() -> str:
    """Return the OpenAPI document as indented JSON with a final newline; it is the same for every backend."""
    unused: Recognizer = None  # type: ignore[assignment]
    api = create_api(FaceApp(MemoryBucket(), unused, MemoryCatalog()), Settings())
    return json.dumps(api.openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
