"""Measure what the audit log costs a recognition: POST /recognize with and without it, in turns, in one process.

    python -m benchmarks.audit PHOTO [--rounds N]

Both APIs share one application on the embedded backend, with the photo's person enrolled. Each round asks both once, in
an order that alternates; the figures are means over all rounds, of the time to answer and of the processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import fmean, median
from types import SimpleNamespace
from typing import Any

import httpx

from mien.api.api import create_api
from mien.config import open_embedded
from mien.settings import Settings

HEADERS = {"Content-Type": "image/jpeg"}


async def measure(folder: Path, photo: bytes, rounds: int) -> dict[str, list[tuple[float, float]]]:
    settings = Settings(data_dir=folder)
    backend = open_embedded(settings)
    nothing: Any = SimpleNamespace(record=lambda activity: None)
    with backend.app as app:
        app.enroll(photo, "somebody")
        apis = {
            "with": create_api(app, settings, audit=backend.audit),
            "without": create_api(app, settings, audit=nothing),
        }
        clients = {
            name: httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://127.0.0.1")
            for name, api in apis.items()
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
        for number in range(-20, rounds):
            for name in list(clients)[:: 1 if number % 2 else -1]:
                wall, processor = time.perf_counter(), time.process_time()
                answer = await clients[name].post("/recognize", content=photo, headers=HEADERS)
                spent = time.perf_counter() - wall, time.process_time() - processor
                answer.raise_for_status()
                if number >= 0:
                    times[name].append(spent)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--rounds", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        times = asyncio.run(measure(Path(folder), arguments.photo.read_bytes(), arguments.rounds))
    for index, kind in enumerate(("time to answer", "processor time")):
        with_log, without = ([spent[index] * 1000 for spent in times[name]] for name in ("with", "without"))
        print(
            f"{kind}: median {median(with_log):.2f} ms with, {median(without):.2f} ms without "
            f"({median(with_log) / median(without) - 1:+.2%}); mean {fmean(with_log):.2f} and {fmean(without):.2f} ms "
            f"({fmean(with_log) / fmean(without) - 1:+.2%})"
        )


if __name__ == "__main__":
    main()
