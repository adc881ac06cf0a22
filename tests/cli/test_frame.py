"""What all verbs share: help, JSON, exit codes, work on all cores."""

from __future__ import annotations

import threading
import time

import pytest
import typer

from mien.cli import main, parallel
from mien.cli.exit_codes import EXIT_CODES, exit_code
from mien.domain import errors
from mien.domain.errors import DamagedImage, StorageFull


def leaves(kind: type[errors.MienError]) -> list[type[errors.MienError]]:
    below = [leaf for child in kind.__subclasses__() for leaf in leaves(child)]
    return below or [kind]


@pytest.mark.parametrize("kind", leaves(errors.MienError))
def test_every_error_has_an_exit_code_of_its_own_kind(kind):
    assert exit_code(kind("Something happened.")) in set(EXIT_CODES.values())


def test_errors_have_names_for_programs():
    assert StorageFull("The disk is full.").code == "storage_full"


def commands(group: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(group, "commands", None)
    if inner is None:
        return [path]
    return [found for name, command in inner.items() for found in commands(command, (*path, name))]


VERBS = commands(typer.main.get_command(main.app))


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_explains_itself(mien, verb):
    answer = mien(*verb, "--help")
    assert answer.code == 0
    assert "--data-dir" in answer.out
    assert verb == ("serve",) or "--json" in answer.out


def test_help_names_every_verb(mien):
    out = mien("--help").out
    assert all(verb[0] in out for verb in VERBS)


def test_a_word_that_is_no_verb_is_exit_code_2(mien):
    assert mien("recognise").code == 2


def test_photos_are_worked_on_at_the_same_time():
    meeting = threading.Barrier(2, timeout=20)
    assert [outcome >= 0 for _, outcome in parallel.each([1, 2], lambda _: meeting.wait(), "Meeting")] == [True, True]


def test_an_error_about_one_photo_is_its_outcome():
    def job(number: int) -> int:
        if number == 3:
            raise DamagedImage("The image is damaged.")
        return number

    outcomes = dict(parallel.each(range(9), job, "Counting"))
    assert isinstance(outcomes.pop(3), DamagedImage)
    assert all(number == outcome for number, outcome in outcomes.items())


def test_an_error_about_the_storage_ends_the_work():
    begun: list[int] = []

    def job(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise StorageFull("The disk is full.")
        time.sleep(0.001)
        return number

    done: list[int] = []
    with pytest.raises(StorageFull):
        done.extend(number for number, _ in parallel.each(range(10_000), job, "Counting"))
    assert len(begun) < 10_000
