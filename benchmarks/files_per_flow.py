"""Count the source files of Mien whose functions run while one photo passes through a flow.

    python -m benchmarks.files_per_flow PHOTO PHOTO

Each flow runs in a new process, with an empty data folder and a warm model cache: `recognize` (the whole command),
`upload` (POST /upload until the photo is indexed) and `search` (the wire API's SearchFacesByImage); the server has
answered the same request with another photo before, so that what happens once is not counted. A file counts when a
function of it is called; code that only runs at import does not. It measures how much there is to read, not speed:
docs/architecture.md quotes the counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import FrameType
from typing import Any

FLOWS = ("recognize", "upload", "search")
PATIENCE_SECONDS = 120


def main(photos: list[str]) -> None:
    if len(photos) != 2 or "--help" in photos:
        sys.exit(__doc__)
    for flow in FLOWS:
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"MIEN_DATA_DIR": folder, "MIEN_SIGV4": "accept-any"}
            command = [sys.executable, "-m", "benchmarks.files_per_flow", "--flow", flow, *photos]
            done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
            if done.returncode:
                sys.exit(done.stderr)
            files = json.loads(done.stdout.splitlines()[-1])
            parts: dict[str, int] = {}
            for file in files:
                parts[file.split("/")[0]] = parts.get(file.split("/")[0], 0) + 1
            print(f"{flow:10} {len(files):3} files  {dict(sorted(parts.items()))}")


def run_flow(flow: str, photos: Sequence[Path]) -> None:
    seen: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_flags & CO_OPTIMIZED:  # not the body of a module or class
            seen.add(frame.f_code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    {"recognize": recognize, "upload": upload, "search": search}[flow](photos, seen)
    sys.setprofile(None)
    root = str(Path(sys.modules["mien"].__file__ or "").parent) + os.sep
    print("\n" + json.dumps(sorted(file.removeprefix(root) for file in seen if file.startswith(root))))


def recognize(photos: Sequence[Path], _: set[str]) -> None:
    from mien.cli.main import main as mien

    sys.argv = ["mien", "recognize", str(photos[0])]
    with suppress(SystemExit):
        mien()


def upload(photos: Sequence[Path], seen: set[str]) -> None:
    import httpx

    def send(address: str, photo: Path) -> None:
        body, kind = photo.read_bytes(), {"Content-Type": "image/jpeg"}
        path = httpx.post(f"{address}/upload?user_id=Ann", content=body, headers=kind).json()["image_path"]
        while httpx.get(f"{address}/uploads/{path}").json()["status"] == "pending":
            time.sleep(0.1)

    serve(send, photos, seen)


def search(photos: Sequence[Path], seen: set[str]) -> None:
    import boto3

    def send(address: str, photo: Path) -> None:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        client = boto3.client("rekognition", endpoint_url=address, region_name="eu-west-1", **keys)
        if "people" not in client.list_collections()["CollectionIds"]:
            client.create_collection(CollectionId="people")
        client.search_faces_by_image(CollectionId="people", Image={"Bytes": photo.read_bytes()})

    serve(send, photos, seen)


def serve(send: Callable[[str, Path], None], photos: Sequence[Path], seen: set[str]) -> None:
    """Run `mien serve` in this process until `send`, in another thread, has its answers; count for the last photo."""
    import socket

    from mien.cli import shutdown
    from mien.cli.main import main as mien

    shutdown.end = sys.exit  # which lets this process count
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    failures: list[BaseException] = []

    def client() -> None:
        sys.setprofile(None)
        try:
            wait_for(port)
            for photo in photos:
                seen.clear()
                send(f"http://127.0.0.1:{port}", photo)
        except BaseException as error:
            failures.append(error)
        os.kill(os.getpid(), 2)

    thread = threading.Thread(target=client)
    thread.start()
    sys.argv = ["mien", "serve", "--port", str(port)]
    with suppress(SystemExit, KeyboardInterrupt):
        mien()
    thread.join()
    if failures:
        raise failures[0]


def wait_for(port: int) -> None:
    """Return when the server recognises faces, so that what runs once at its start is not counted."""
    import httpx

    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=30).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError("the server did not start")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--flow"]:
        run_flow(sys.argv[2], [Path(photo) for photo in sys.argv[3:]])
    else:
        main(sys.argv[1:])
