"""Erase a person from every store, in an order that survives interruption at any point.

The intent (an Erasure record) is written first and removed last; every step in between may be repeated.
An erasure that is resumed leaves alone what was enrolled anew after it was requested.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from mien.app.erased_names import ErasedNames
from mien.app.people import PeopleService
from mien.app.personal_data import PersonalData
from mien.app.ports import Bucket, Catalog, Recognizer
from mien.domain.errors import AccessDenied, ErasureNotFound, StorageFull, UserNotFound
from mien.domain.faces import iterate_pages
from mien.domain.records import Erasure, ErasureReceipt, Person
from mien.domain.results import ErasureReport, HealthWarning

T = TypeVar("T")
log = logging.getLogger(__name__)

FindRemains = Callable[[str], tuple[str, ...]]
"""Searches below the ports, such as in the free pages of a database file, and names the places that hold a user id."""

EmptyLogs = Callable[[], tuple[str, ...]]
"""Makes deleted data unreadable below the ports, and names the places where it cannot be done yet."""

PAGE = 500
ROUNDS = 3
"""How often an erasure looks again for what was stored meanwhile."""
STUCK_SECONDS = 300.0
"""How long after its request an erasure that is not finished is told as a warning."""
RETRY_SECONDS, MAX_RETRY_SECONDS = 30.0, 3600.0
MAX_CLOCK_DIFFERENCE = timedelta(minutes=5)
"""Between this machine and one that keeps the photos, such as of a network drive."""


def keyed_hash(key: bytes) -> Callable[[str], str]:
    """Return a function that replaces a user id by a hash, which nobody without the key can guess."""
    return lambda user_id: f"#{hmac.new(key, user_id.encode(), hashlib.sha256).hexdigest()}"


class ErasureService:
    """Forgets people, finishes interrupted erasures, and verifies that nothing is left."""

    def __init__(
        self,
        bucket: Bucket,
        recognizer: Recognizer,
        catalog: Catalog,
        people: PeopleService,
        find_remains: FindRemains,
        now: Callable[[], datetime],
        *,
        pseudonym: Callable[[str], str] | None = None,
        make_room: Callable[[], bool] = lambda: False,
        remove_copies: Callable[[], None] = lambda: None,
        empty_logs: EmptyLogs = lambda: (),
    ) -> None:
        """Compose the service.

        Args:
            bucket, recognizer, catalog: The three ports.
            people: Knows who is merged into whom.
            find_remains: Names places below the ports that hold a user id, for `remaining_stores`.
            now: Returns the time, aware and in UTC.
            pseudonym: Makes a receipt's stand-in for a user id; by default one that is good for this process.
            make_room: Frees some reserved space on a full disk; False when there was none.
            remove_copies: Deletes copies of the data that the stores do not know, such as from before an upgrade.
            empty_logs: Empties the logs in which deleted data could still be read; names those that are in use.
        """
        self._catalog, self._people = catalog, people
        self._data = PersonalData(bucket, recognizer, catalog, people)
        self._find_remains, self._now, self._make_room = find_remains, now, make_room
        self._remove_copies, self._empty_logs = remove_copies, empty_logs
        self._pseudonym = pseudonym or keyed_hash(secrets.token_bytes(32))
        self._names = ErasedNames(catalog, self._pseudonym)
        self._running: set[str] = set()
        self._ending: dict[str, Erasure] = {}  # whose intent is deleted, but may come back
        self._lock = threading.Lock()
        self._failures: dict[str | None, tuple[int, float]] = {}

    def forget(self, user_id: str) -> ErasureReport:
        """Request an erasure and finish it at once. Raises UserNotFound when no store knows the person."""
        return self.finish(self.request(user_id))

    def request(self, user_id: str) -> Erasure:
        """Store the intent to forget a person and every id that is merged into theirs.

        Raises UserNotFound when no store knows the person.
        """
        self._pseudonym(user_id)  # without its key, nothing may be erased: no receipt could be found again
        user_ids = self._people.aliases.with_merged(user_id)
        stored = self._catalog.get(Erasure, [user_id])
        if not stored and not any(map(self._data.stores_with, user_ids)):
            raise UserNotFound("Nobody is enrolled under this user id.")
        erasure_id = (stored[0].erasure_id if stored else None) or uuid.uuid4().hex
        has_receipt, is_known = self._catalog.get(ErasureReceipt, [erasure_id]), self._catalog.get(Person, [user_id])
        if has_receipt and is_known:
            erasure_id = uuid.uuid4().hex  # enrolled anew since: another erasure, which no backup knows
        # An intent each: when this is cut off, nothing may lead any more from the person to those merged into them.
        erasure_ids = {user_id: erasure_id} | {merged: uuid.uuid4().hex for merged in user_ids[1:]}
        sealed, time = self._names.seal(erasure_ids), self._now()
        intents = [Erasure(each, time, erasure_id, sealed[each]) for each, erasure_id in erasure_ids.items()]
        if stored and not intents[0].sealed_ids:  # the person is gone, and the name with them
            intents[0] = replace(intents[0], sealed_ids=stored[0].sealed_ids)
        self._with_room(lambda: self._catalog.put(*intents))
        return intents[0]

    def finish(self, intent: Erasure) -> ErasureReport:
        """Remove a person from every store and report what was removed.

        Until nothing is left that is older than the intent, the intent remains, so that `resume` tries again.
        """
        with self._marked_as_running(intent.user_id):
            user_ids = self._people.aliases.with_merged(intent.user_id)
            merged = [self._finish_with_room(each, {}) for each in self._catalog.get(Erasure, user_ids[:0:-1])]
            return _sum(self._finish_with_room(intent, {}), merged)

    def resume(self) -> list[ErasureReport]:
        """Finish the erasures that were interrupted; one that fails is tried again later and holds up no other."""
        reports, pending = [], self.pending()
        open_ids = {intent.erasure_id for intent in pending}
        self._failures = {each: failure for each, failure in self._failures.items() if each in open_ids}
        for intent in pending:
            failures, not_before = self._failures.get(intent.erasure_id, (0, 0.0))
            if intent.user_id in self._running or time.monotonic() < not_before:
                continue
            try:
                reports.append(self._resume(intent))
            except Exception as error:
                pause = min(RETRY_SECONDS * 2**failures, MAX_RETRY_SECONDS)
                self._failures[intent.erasure_id] = (failures + 1, time.monotonic() + pause)
                log.warning("erasure failed", extra={"error": type(error).__name__, "attempt": failures + 1})
        return reports

    def finish_pending(self, user_id: str) -> None:
        """Finish the person's pending erasure, if there is one, before anything is stored for them."""
        for intent in self._catalog.get(Erasure, [user_id]):
            self._resume(intent)

    def pending(self) -> list[Erasure]:
        """List the erasures that are not finished, oldest first."""
        intents = iterate_pages(lambda token: self._catalog.find(Erasure, limit=PAGE, token=token))
        return sorted(intents, key=lambda intent: intent.timestamp)

    def warnings(self) -> list[HealthWarning]:
        """Name the erasures that should be finished by now, by their ids."""
        longest = self._now() - timedelta(seconds=STUCK_SECONDS)
        stuck = [intent for intent in self.pending() if intent.timestamp < longest]
        if not stuck:
            return []
        sentence = f"{describe_pending(stuck)} They are tried again; `mien repair` does it at once."
        ids = ", ".join(intent.erasure_id for intent in stuck if intent.erasure_id)
        parameters: dict[str, str | int] = {"count": len(stuck), "oldest": stuck[0].timestamp.isoformat(), "ids": ids}
        return [HealthWarning("erasures_unfinished", sentence, parameters)]

    def status(self, erasure_id: str) -> Erasure | ErasureReceipt:
        """Return an erasure that is not finished, or the receipt of one that is. Raises ErasureNotFound."""
        for intent in (*self._ending.values(), *self.pending(), *self._ending.values()):
            if intent.erasure_id == erasure_id:
                return intent
        if receipts := self._catalog.get(ErasureReceipt, [erasure_id]):
            return receipts[0]
        raise ErasureNotFound("There is no erasure of this id.")

    def check_not_erased_since(self, user_id: str, moment: datetime) -> None:
        """Raise AccessDenied when the person was forgotten at or after a moment, or is being forgotten."""
        is_pending = self._catalog.get(Erasure, [user_id])  # first: the receipt is there before the intent goes
        if is_pending or any(receipt.timestamp >= moment for receipt in self._receipts(user_id)):
            raise AccessDenied("The form was made before the person was forgotten.")

    def erased_ids(self, text: str) -> tuple[str, ...]:
        """Return the ids of the people who were erased, or are being erased, under an id or a name."""
        return self._names.ids_of(text)

    def is_erased(self, user_id: str) -> bool:
        """Tell whether the person was forgotten and is nobody since."""
        return bool(self._receipts(user_id)) and not self._catalog.get(Person, [user_id])

    def remaining_stores(self, user_id: str) -> tuple[str, ...]:
        """Name the stores that still hold something of the person; an empty tuple proves the erasure."""
        return (*self._data.stores_with(user_id), *self._find_remains(user_id))

    def _receipts(self, user_id: str) -> tuple[ErasureReceipt, ...]:
        """The latest receipt of a person's erasures, if there is one."""
        return self._catalog.find(ErasureReceipt, user_id=self._pseudonym(user_id), limit=1).items

    def _resume(self, intent: Erasure) -> ErasureReport:
        with self._marked_as_running(intent.user_id):
            return self._finish_with_room(intent, self._photos_since(intent))

    def _photos_since(self, intent: Erasure) -> dict[str, datetime]:
        """The photos that were stored after the request; a time that is still to come is that of a wrong clock."""
        photos = self._data.photos_since(intent.user_id, intent.timestamp)
        latest = self._now() + MAX_CLOCK_DIFFERENCE
        return {path: stored_at for path, stored_at in photos.items() if stored_at <= latest}

    def _with_room(self, work: Callable[[], T]) -> T:
        """Do some work; on a full disk again, with reserved space, and with that of the photos removed so far."""
        for _ in range(ROUNDS):
            try:
                return work()
            except StorageFull:
                self._make_room()
        return work()

    def _finish_with_room(self, intent: Erasure, kept: Mapping[str, datetime]) -> ErasureReport:
        counts = Counter(faces=0, images=0, uploads=0, recognitions=0)
        for receipt in self._catalog.get(ErasureReceipt, [intent.erasure_id] if intent.erasure_id else []):
            counts.update({each: getattr(receipt, each) for each in counts})
        return self._with_room(lambda: self._finish(intent, kept, counts))

    def _finish(self, intent: Erasure, kept: Mapping[str, datetime], counts: Counter[str]) -> ErasureReport:
        """Remove everything but the `kept` photos, given with the times at which they were stored; add to `counts`."""
        pseudonym = self._pseudonym(intent.user_id)
        self._remove_copies()
        remaining: Sequence[str] = ()
        for _ in range(ROUNDS):
            self._data.remove(intent.user_id, intent.timestamp, kept, counts)
            remaining = [] if kept else self._data.stores_with(intent.user_id)
            if not remaining:
                break
        remaining = remaining or self._empty_logs()
        report = ErasureReport(
            **counts,
            user_id=intent.user_id,
            timestamp=self._now(),
            remaining_stores=tuple(remaining),
            erasure_id=intent.erasure_id or uuid.uuid4().hex,
        )
        with suppress(StorageFull):  # the person is gone, whether there is room for a receipt or not
            self._catalog.put(report.receipt(pseudonym, intent.sealed_ids))
        return report if remaining else replace(report, remaining_stores=self._end(intent))

    def _end(self, intent: Erasure) -> tuple[str, ...]:
        """Remove an intent; while the id in it can still be read in a log, it stays. Returns the names of such logs."""
        self._ending[intent.erasure_id or ""] = intent
        is_readable = True  # also when that cannot be found out
        try:
            self._catalog.delete(Erasure, [intent.user_id])
            logs = self._empty_logs()
            is_readable = bool(logs)
        finally:
            if is_readable:
                self._catalog.put(intent)
            self._ending.pop(intent.erasure_id or "", None)
        return logs

    @contextmanager
    def _marked_as_running(self, user_id: str) -> Iterator[None]:
        """Keep `resume` from an erasure that is under way; whoever needs it finished does not wait for the other."""
        with self._lock:
            is_running = user_id in self._running
            self._running.add(user_id)
        try:
            yield
        finally:
            if not is_running:
                self._running.discard(user_id)


def describe_pending(intents: Sequence[Erasure]) -> str:
    """Count and name erasures that are not finished, oldest first, by their ids."""
    ids = ", ".join(intent.erasure_id or "one of an earlier version" for intent in intents)
    return (
        f"Erasures that are not finished: {len(intents)}, the oldest of {intents[0].timestamp:%Y-%m-%d %H:%M} ({ids})."
    )


def _sum(report: ErasureReport, merged: Sequence[ErasureReport]) -> ErasureReport:
    """The report of a person with what was removed of the ids that were merged into theirs."""
    reports = (report, *merged)
    return replace(
        report,
        faces=sum(each.faces for each in reports),
        images=sum(each.images for each in reports),
        uploads=sum(each.uploads for each in reports),
        recognitions=sum(each.recognitions for each in reports),
        remaining_stores=tuple(dict.fromkeys(store for each in reports for store in each.remaining_stores)),
    )
