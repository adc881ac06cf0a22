"""Measure the wire API: boto3 at 8 connections, the engine alone in the same run, and the overhead of a call.

    python -m benchmarks.rekognition FOLDER

FOLDER contains portraits, one face each. Client, server and engine share the machine's cores, so compare ratios, not
absolute figures. Wall-clock time includes boto3's own work, processor time is the server's only.
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import boto3
import uvicorn
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from benchmarks.server import processor_seconds
from mien.engine import FaceEngine
from mien.gallery import Gallery
from mien.rekognition.access_keys import AccessKey
from mien.rekognition.server import create_app
from mien.rekognition.settings import WireSettings

CONNECTIONS = 8
PHOTO_BYTES = 100_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("photos", type=Path)
    options.add_argument("--calls", type=int, default=200)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    photos = [path.read_bytes() for path in sorted(given.photos.rglob("*.jpg"))][: given.calls]
    with tempfile.TemporaryDirectory() as folder:
        port, server = start(Path(folder))
        try:
            rounds = [measure(port, server.pid or 0, photos, number) for number in range(given.rounds)]
            figures = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
            figures |= {"overhead_ms": overhead(port), "photos": len(photos)}
            print(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=2))
        finally:
            server.terminate()
            server.join()


def measure(port: int, server: int, photos: list[bytes], number: int) -> dict[str, float]:
    """Measure one round: the engine alone, then the same photos indexed and searched over the wire."""
    client, collection = connect(port), f"round-{number}"
    client.create_collection(CollectionId=collection)
    engine = FaceEngine()
    list(engine.read_many(photos[:CONNECTIONS]))
    in_parallel(lambda photo: client.detect_faces(Image={"Bytes": photo}), photos[:CONNECTIONS])
    calls = {"index_faces": index_face, "search_faces_by_image": search_face}
    alone = spent(os.getpid(), lambda: list(engine.read_many(photos)))
    figures = {"engine_per_second": len(photos) / alone.seconds}
    for name, call in calls.items():
        wire = spent(server, lambda call=call: in_parallel(lambda photo: call(client, collection, photo), photos))
        figures |= {
            f"{name}_per_second": len(photos) / wire.seconds,
            f"{name}_share_of_engine": alone.seconds / wire.seconds,
            f"{name}_share_of_engine_by_processor_time": alone.processor / wire.processor,
        }
    return figures


@dataclass(frozen=True, slots=True)
class Spent:
    """Wall-clock seconds, and seconds of processor time of one process."""

    seconds: float
    processor: float


def spent(process: int, work: Callable[[], object]) -> Spent:
    begun, processor = time.perf_counter(), processor_seconds(process)
    work()
    return Spent(time.perf_counter() - begun, processor_seconds(process) - processor)


def overhead(port: int) -> float:
    """Measure the median milliseconds of a call with a 100 kB photo that ends before the engine: no such collection.

    The request is signed once and sent raw over one connection, so that the client hardly adds to it.
    """
    photo = base64.b64encode(b"\xff\xd8\xff" + bytes(PHOTO_BYTES)).decode()
    body = json.dumps({"CollectionId": "none", "Image": {"Bytes": photo}}).encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "RekognitionService.SearchFacesByImage"}
    request = AWSRequest("POST", f"http://127.0.0.1:{port}/", headers, body)
    SigV4Auth(Credentials("AKID", "secret"), "rekognition", "eu-west-1").add_auth(request)
    connection, times = HTTPConnection("127.0.0.1", port), []
    for _ in range(300):
        start_at = time.perf_counter()
        connection.request("POST", "/", body, dict(request.headers.items()))
        answer = connection.getresponse().read()
        times.append(time.perf_counter() - start_at)
        assert b"ResourceNotFoundException" in answer
    return 1000 * statistics.median(times)


def index_face(client: Any, collection: str, photo: bytes) -> None:
    client.index_faces(CollectionId=collection, Image={"Bytes": photo}, MaxFaces=1)


def search_face(client: Any, collection: str, photo: bytes) -> None:
    client.search_faces_by_image(CollectionId=collection, Image={"Bytes": photo}, MaxFaces=5)


def in_parallel(call: Callable[[bytes], None], photos: list[bytes]) -> None:
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(call, photos))


def connect(port: int) -> Any:
    return boto3.client(
        "rekognition",
        region_name="eu-west-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="AKID",
        aws_secret_access_key="secret",
        config=Config(max_pool_connections=CONNECTIONS),
    )


def start(folder: Path) -> tuple[int, multiprocessing.process.BaseProcess]:
    """Start the server in a process of its own; returns its port."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(folder, theirs), daemon=True)
    process.start()
    return ours.recv(), process


def serve(folder: Path, pipe: Connection) -> None:
    logging.disable()
    engine = FaceEngine()
    settings = WireSettings(keys={"AKID": AccessKey("bench", "secret")})
    app = create_app(engine, Gallery(folder, engine.model_version), settings=settings)
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio turns Nagle's delay off only where TCP is named
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    pipe.send(listener.getsockname()[1])
    uvicorn.Server(uvicorn.Config(app, log_level="critical")).run([listener])


if __name__ == "__main__":
    main()
