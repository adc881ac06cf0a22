"""Wait until a server has noticed every photo that was copied into its data folder by hand, or deleted there.

python -m tests.support.settled PORT FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from tests.support.process import PATIENCE_SECONDS, wait_for


def is_settled(port: int, bucket: Path) -> bool:
    """Tell whether the photos are those of which the server knows, and what has become of them is certain."""
    answer = httpx.get(f"http://127.0.0.1:{port}/uploads", params={"limit": 100}, timeout=PATIENCE_SECONDS)
    statuses = {upload["image_path"]: upload["status"] for upload in answer.raise_for_status().json()["uploads"]}
    photos = {path.relative_to(bucket).as_posix() for path in bucket.glob("uploaded/**/*") if path.is_file()}
    return statuses.keys() == photos and "pending" not in statuses.values()


if __name__ == "__main__":
    wait_for(lambda: is_settled(int(sys.argv[1]), Path(sys.argv[2]) / "bucket"))
