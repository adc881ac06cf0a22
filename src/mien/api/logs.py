"""Write the server's log: one JSON object a line on standard error, whoever writes, and never more than a disk bears.

A terminal gets the same in lines for people.

Lines of Mien and of uvicorn have constant messages and the fields that are listed here. Of what other libraries log or
warn of, the line tells the place in their source, not the text, which may quote a client. Native libraries write to the
descriptor of standard error past Python: their lines are counted. Of similar lines in quick succession some are left
out, and the next one says how many.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from mien.domain.errors import frames
from mien.security.rate_limit import TokenBucket

log = logging.getLogger(__name__)

OWN = ("mien", "uvicorn")
"""The loggers whose messages are constant."""

ERROR_STATUS = 400
RATE, ERROR_RATE, BURST_SECONDS = 100.0, 5.0, 10.0
"""Similar lines per second: of requests without a key, and of refused requests and warnings."""

MAX_KINDS = 500
"""Of lines, that are counted one by one."""

FLUSH_SECONDS = 10.0
STDERR = 2


class JsonLines(logging.Formatter):
    """Formats log records as one JSON object a line, with these extra fields and no others."""

    FIELDS = (
        *("method", "route", "operation", "status", "ms", "bytes_in", "bytes_out", "key_id", "access_key_id"),
        *("request_id", "task", "error", "frames", "cause", "attempt", "place", "suppressed", "lines"),
        *("recognitions", "photos", "people", "failed", "entries", "folders", "closed"),  # counts
    )

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).astimezone()
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage().strip() if _is_own(record) else "a library has something to say",
        }
        if not _is_own(record):
            line |= {"logger": record.name, "place": f"{record.module}:{record.lineno}"}
        line |= {name: getattr(record, name) for name in self.FIELDS if hasattr(record, name)}
        if record.exc_info and record.exc_info[0]:
            line |= {"error": record.exc_info[0].__name__, "frames": frames(record.exc_info[2])}
        return self.written(line)

    def written(self, line: dict[str, Any]) -> str:
        return json.dumps(line)


class TerminalLines(JsonLines):
    """Formats log records for people: the time of day, what happened, and the fields."""

    REQUEST = ("method", "route", "operation", "status")

    def written(self, line: dict[str, Any]) -> str:
        told = [line.pop("time")[11:19], *[line["level"]] * (line["level"] != "info")]
        told += [str(line[name]) for name in self.REQUEST if name in line] or [line["message"]]
        told += [f"{line[name]:.0f} ms" for name in ("ms",) if name in line]
        hidden = {"level", "message", "ms", "bytes_in", "bytes_out", "request_id", *self.REQUEST}
        told += [f"{name}={value}" for name, value in line.items() if name not in hidden]
        return " ".join(told)


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes log records to a stream, some of many similar ones."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setFormatter(TerminalLines() if stream.isatty() else JsonLines())
        self._buckets: dict[tuple[object, ...], TokenBucket] = {}
        self._left_out: Counter[tuple[object, ...]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        rate = _rate(record)
        if rate is not None:
            kind = _kind(record)
            if kind not in self._buckets and len(self._buckets) >= MAX_KINDS:
                kind = (rate,)
            if self._buckets.setdefault(kind, TokenBucket(rate, BURST_SECONDS)).take():
                self._left_out[kind] += 1
                return
            if count := self._left_out.pop(kind, 0):
                record.__dict__["suppressed"] = count
        super().emit(record)

    def summarize(self) -> None:
        """Say how many lines were left out since the last one that was written."""
        count, self._left_out = self._left_out.total(), Counter()
        if count:
            log.info("similar lines were left out", extra={"suppressed": count})


class _Nowhere:
    """Takes what Python code prints to `sys.stderr`, for nobody."""

    encoding, errors = "utf-8", "replace"

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Have nothing to do."""

    def isatty(self) -> bool:
        return False


@contextmanager
def json_on_stderr() -> Iterator[TextIO]:
    """Write all logs, warnings and uncaught exceptions to standard error as JSON, and nothing else but on a terminal.

    Yields the stream, for what is to be shown on a terminal.
    """
    with os.fdopen(os.dup(STDERR), "w", buffering=1, encoding="utf-8") as stream, warnings.catch_warnings():
        handler = LimitedHandler(stream)
        root, former_handlers, former_level = logging.getLogger(), logging.getLogger().handlers[:], logging.root.level
        former = sys.stderr, sys.excepthook, threading.excepthook, sys.unraisablehook
        root.handlers[:] = [handler]
        root.setLevel(logging.INFO)
        for library in ("uvicorn", "watchfiles"):
            logging.getLogger(library).setLevel(logging.WARNING)
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)  # a library that writes much must not wait for the thread that counts
        os.dup2(write_end, STDERR)
        os.close(write_end)
        over, end = os.pipe()
        counting = threading.Thread(target=_count_lines, args=(read_end, over, handler), daemon=True)
        counting.start()
        sys.stderr = _Nowhere()
        warnings.showwarning = _log_warning
        warnings.simplefilter("always", UserWarning)  # or each text is kept for ever, and files of clients make many
        sys.excepthook = _log_exception
        threading.excepthook = lambda args: _log_exception(args.exc_type, args.exc_value, args.exc_traceback)
        sys.unraisablehook = lambda args: _log_exception(args.exc_type, args.exc_value, args.exc_traceback)
        try:
            yield stream
        finally:
            os.dup2(stream.fileno(), STDERR)
            os.close(end)
            counting.join(FLUSH_SECONDS)  # nobody may read what it writes
            sys.stderr, sys.excepthook, threading.excepthook, sys.unraisablehook = former
            handler.summarize()
            root.handlers[:] = former_handlers
            root.setLevel(former_level)


def log_loop_errors(loop: asyncio.AbstractEventLoop) -> None:
    """Log what an event loop reports, such as that no more connections can be accepted, without its details."""

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        exc_info = (type(error), error, error.__traceback__) if isinstance(error, BaseException) else None
        log.error("the event loop reports an error", exc_info=exc_info)

    loop.set_exception_handler(handle)


def _rate(record: logging.LogRecord) -> float | None:
    """How many lines like this may be written per second; None for any number."""
    status = getattr(record, "status", None)
    if record.levelno >= logging.WARNING or (status is not None and status >= ERROR_STATUS):
        return ERROR_RATE
    is_anybodys = status is not None and not hasattr(record, "key_id") and not hasattr(record, "access_key_id")
    return RATE if is_anybodys else None


def _kind(record: logging.LogRecord) -> tuple[object, ...]:
    fields = (getattr(record, name, None) for name in ("route", "operation", "status", "error", "place"))
    return (record.pathname, record.lineno, *fields)


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in OWN


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    place = f"{Path(filename).stem}:{lineno}"
    log.warning("a library warns", extra={"error": category.__name__, "place": place})


def _log_exception(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if not issubclass(kind, SystemExit):
        log.error("an exception was not handled", exc_info=(kind, error or kind(), trace))


def _count_lines(descriptor: int, over: int, handler: LimitedHandler) -> None:
    """Count the lines that native libraries write, until the other end of `over` is closed and all are counted."""
    with os.fdopen(descriptor, "rb", buffering=0) as pipe, os.fdopen(over, "rb", buffering=0) as end:
        while True:
            ready = select.select([pipe, end], [], [], FLUSH_SECONDS)[0]
            if not ready:
                handler.summarize()
                continue
            written = pipe.read(65536) if pipe in ready else b""
            if not written:
                return
            log.warning("a native library wrote to standard error", extra={"lines": written.count(b"\n")})
