"""Delete what has expired by its stored timestamp, and recognitions that name nobody.

Recognitions and photos of nobody have their days from the policy, a person has a date until which the consent holds.
Whatever is over goes the way that it goes by hand: a photo as a deleted photo, a person by an erasure with its durable
intent and its receipt. So an expiry that is cut off goes on where it stopped when it is run again, and one that runs
twice at once removes nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, time, timedelta

from mien.app.erasure import ErasureService
from mien.app.indexing import IndexingService
from mien.app.people import PeopleService
from mien.app.ports import Catalog
from mien.domain import object_keys
from mien.domain.errors import InvalidInput, MienError, UserNotFound
from mien.domain.faces import Page, iterate_pages
from mien.domain.policy import Policy
from mien.domain.records import Consent, Person, Recognition, Upload
from mien.domain.results import ErasureReport, Expiry

STEP = 200
"""How many recognitions one transaction deletes; between two, others may write."""

PAGE = 1000


class RetentionService:
    """Expires what is over, and keeps the dates until which people consent."""

    def __init__(
        self,
        catalog: Catalog,
        people: PeopleService,
        indexing: IndexingService,
        erasure: ErasureService,
        policy: Policy,
        now: Callable[[], datetime],
    ) -> None:
        self._catalog, self._people = catalog, people
        self._indexing, self._erasure = indexing, erasure
        self._policy, self._now = policy, now

    def expire(self, stop: Callable[[], bool]) -> Expiry:
        """Remove what is over now, in small steps; `stop` is asked before each whether to leave the rest for later."""
        recognitions = self._expire_recognitions(stop)
        photos, failed_photos = self._expire_photos(stop)
        receipts, failed_people = self._expire_people(stop)
        return Expiry(recognitions, photos, receipts, failed_photos + failed_people)

    def delete_unnamed(self, token: str | None) -> tuple[int, str | None]:
        """Delete those of the next 1000 recognitions that name nobody, not even as a candidate.

        Returns how many were deleted, and the token for the recognitions that follow; None after the last.
        """
        page = self._catalog.find(Recognition, limit=PAGE, token=token)
        unnamed = [each.recognition_id for each in page.items if not each.user_ids]
        return self._catalog.delete(Recognition, unnamed), page.next_token

    def set_consent(self, user_id: str, last_day: date | None) -> None:
        """Store the last day of a person's consent, in place of those of all ids that were merged into theirs.

        None stands for a consent without end. Raises InvalidInput for a day in the past.
        """
        user_ids = self._people.aliases.with_merged(user_id)
        if last_day is None:
            self._catalog.delete(Consent, user_ids)
            return
        self.check_last_day(last_day)
        renewed = {consent.user_id for consent in self._catalog.get(Consent, user_ids)} | {user_id}
        self._catalog.put(*(Consent.until(each, last_day) for each in sorted(renewed)))

    def copy_consent(self, user_id: str, to: str) -> None:
        """Give a person the last day of another's consent, if that has one."""
        for consent in self._catalog.get(Consent, [user_id]):
            self._catalog.put(Consent(to, consent.timestamp))

    def check_last_day(self, last_day: date) -> None:
        """Raise InvalidInput for a day in the past, to whose end no consent can hold, and for the last of all days."""
        if isinstance(last_day, datetime):
            raise InvalidInput("The last day of a consent is a day, without a time.")
        if last_day == date.max:
            raise InvalidInput(f"A consent ends before {date.max}, or it has no end, which needs no date.")
        if last_day < self._now().astimezone(UTC).date():
            raise InvalidInput("A consent ends today or later (in UTC). To erase a person now, forget them.")

    def last_days(self, user_ids: Collection[str]) -> dict[str, date]:
        """Return the last days of people's consents, by user id; people whose consent has no end are left out.

        Of a person with whom others were merged it is the earliest of all of them.
        """
        families = self._people.aliases.with_merged_each(user_ids)
        all_ids = list(dict.fromkeys(each for family in families.values() for each in family))
        days = {consent.user_id: consent.last_day for consent in self._catalog.get(Consent, all_ids)}
        found = {user_id: [days[each] for each in family if each in days] for user_id, family in families.items()}
        return {user_id: min(of_person) for user_id, of_person in found.items() if of_person}

    def people_before(self, day: date, limit: int, token: str | None) -> Page[Person]:
        """List the people whose last day of consent comes before a day, the latest of these days first."""
        midnight = datetime.combine(day, time(), UTC)
        page = self._catalog.find(Consent, until=midnight, limit=limit, token=token)
        people = self._people.aliases.by_id([consent.user_id for consent in page.items]).values()
        return Page(tuple(person for person in dict.fromkeys(people) if not person.pending), page.next_token)

    def _expire_recognitions(self, stop: Callable[[], bool]) -> int:
        cutoff = self._cutoff(self._policy.result_days)
        count = 0
        while cutoff is not None and not stop():
            page = self._catalog.find(Recognition, until=cutoff, limit=STEP)
            count += self._catalog.delete(Recognition, [each.recognition_id for each in page.items])
            if page.next_token is None:
                break
        return count

    def _expire_photos(self, stop: Callable[[], bool]) -> tuple[int, int]:
        cutoff = self._cutoff(self._policy.visitor_days)
        count = failed = 0
        if cutoff is None:
            return count, failed
        uploads = iterate_pages(
            lambda token: self._catalog.find(Upload, of_nobody=True, until=cutoff, limit=PAGE, token=token)
        )
        for upload in uploads:
            if stop():
                break
            try:
                count += self._expire_photo(upload.image_path, cutoff)
            except MienError:  # such as a file that cannot be deleted: the others do not wait for it
                failed += 1
        return count, failed

    def _expire_photo(self, path: str, cutoff: datetime) -> bool:
        uploads = self._catalog.get(Upload, [path])  # the photo may have been replaced since it was listed
        is_over = any(upload.user_id is None and upload.timestamp <= cutoff for upload in uploads)
        if not is_over or object_keys.user_id_of(path) is not None:
            return False
        self._indexing.remove_photo(path)
        return True

    def _expire_people(self, stop: Callable[[], bool]) -> tuple[tuple[ErasureReport, ...], int]:
        receipts: list[ErasureReport] = []
        failed = 0
        cutoff = self._now()
        consents = iterate_pages(lambda token: self._catalog.find(Consent, until=cutoff, limit=PAGE, token=token))
        for consent in consents:
            if stop():
                break
            if all(stored.timestamp > cutoff for stored in self._catalog.get(Consent, [consent.user_id])):
                continue  # renewed since it was listed
            try:
                receipts.append(self._erasure.forget(consent.user_id))
            except UserNotFound:
                continue
            except MienError:  # one erasure that cannot end now does not hold up the others
                failed += 1
        return tuple(receipts), failed + sum(bool(receipt.remaining_stores) for receipt in receipts)

    def _cutoff(self, days: int | None) -> datetime | None:
        return None if days is None else self._now() - timedelta(days=days)
