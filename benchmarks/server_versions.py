"""Compare the servers of two versions of Mien, which run side by side and recognise the same photos in turns.

    python -m benchmarks.server_versions OTHER/src FOLDER --rounds 50

OTHER/src is the source folder of the other version; this interpreter runs both. FOLDER contains portraits, of which
either server enrols some. Each round sends a hundred of them to either server over eight connections, in an order that
alternates; the figures are the medians, and the quartiles, of the ratios of the rounds, this version to the other one.
What disturbs a machine for seconds, as its neighbours do, so disturbs both. Run it also with the same version twice:
that is the noise.
"""

from __future__ import annotations

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

CONNECTIONS, BURST = 8, 100
NANOSECONDS = 1e9


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("other", type=Path, help="the source folder of the other version")
    options.add_argument("photos", type=Path)
    options.add_argument("--rounds", type=int, default=50)
    options.add_argument("--enrolled", type=int, default=50)
    options.add_argument("--port", type=int, default=18461, help="the first of two")
    given = options.parse_args()
    photos = [path.read_bytes() for path in sorted(given.photos.rglob("*.jpg"))[:BURST]]
    this = Path(__file__).parents[1] / "src"
    with ExitStack() as stack:
        servers = [
            stack.enter_context(_serving(source.resolve(), given.port + number))
            for number, source in enumerate((given.other, this))
        ]
        for server in servers:
            server.enrol(photos[: given.enrolled])
        rounds = [_round(servers, photos, is_reversed=number % 2 == 1) for number in range(given.rounds + 1)][1:]
    _report("ms of processor time each", [(then.milliseconds, now.milliseconds) for then, now in rounds])
    _report("recognitions a second", [(then.per_second, now.per_second) for then, now in rounds])


def _report(what: str, pairs: Sequence[tuple[float, float]]) -> None:
    ratios = [now / then for then, now in pairs]
    lower, _, upper = quantiles(ratios, n=4, method="inclusive")
    then, now = (median(pair[index] for pair in pairs) for index in (0, 1))
    print(f"{what:28} {now:6.1f} to {then:6.1f}; ratio {median(ratios):.3f} ({lower:.3f} to {upper:.3f})")


@dataclass(frozen=True)
class _Burst:
    """Processor time of the server for each recognition, and recognitions per second by the clock."""

    milliseconds: float
    per_second: float


@dataclass(frozen=True)
class _Server:
    pid: int
    port: int

    def enrol(self, photos: Sequence[bytes]) -> None:
        """Upload each photo as that of another person, and wait until all are indexed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for number, photo in enumerate(photos):
            _ask(connection, "POST", f"/upload?user_id=person{number}", photo)
        while b"\nmien_events_waiting 0.0\n" not in _ask(connection, "GET", "/metrics"):
            time.sleep(0.1)
        connection.close()

    def recognise(self, photos: Sequence[bytes]) -> _Burst:
        spent, begun = self._processor_seconds(), time.perf_counter()
        with ThreadPoolExecutor(CONNECTIONS) as clients:
            list(clients.map(self._send, (photos[number::CONNECTIONS] for number in range(CONNECTIONS))))
        taken = time.perf_counter() - begun
        return _Burst((self._processor_seconds() - spent) / len(photos) * 1000, len(photos) / taken)

    def _send(self, photos: Sequence[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for photo in photos:
            _ask(connection, "POST", "/recognize", photo)
        connection.close()

    def _processor_seconds(self) -> float:
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / NANOSECONDS


def _ask(connection: http.client.HTTPConnection, method: str, path: str, photo: bytes | None = None) -> bytes:
    connection.request(method, path, photo, {} if photo is None else {"Content-Type": "image/jpeg"})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status < http.HTTPStatus.BAD_REQUEST, (answer.status, content)
    return content


def _round(servers: Sequence[_Server], photos: Sequence[bytes], *, is_reversed: bool) -> tuple[_Burst, _Burst]:
    bursts = {server.port: server.recognise(photos) for server in (reversed(servers) if is_reversed else servers)}
    then, now = (bursts[server.port] for server in servers)
    return then, now


@contextmanager
def _serving(source: Path, port: int) -> Iterator[_Server]:
    """Run a version's `mien serve` on an empty data folder until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        settings = os.environ | {"PYTHONPATH": str(source), "MIEN_DATA_DIR": folder}
        command = [sys.executable, "-m", "mien", "serve", "--port", str(port)]
        process = subprocess.Popen(command, env=settings, cwd=folder, stderr=subprocess.DEVNULL)
        try:
            _until_healthy(process, port)
            yield _Server(process.pid, port)
        finally:
            process.terminate()
            process.wait()


def _until_healthy(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except ConnectionError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise SystemExit(f"The server did not start. Is port {port} in use? Set --port to another one.")


if __name__ == "__main__":
    main()
