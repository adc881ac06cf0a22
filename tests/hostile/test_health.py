"""Whoever asks for the health, which needs no key, takes no core from those who have one."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from mien.api.context import BoundedExecutor, Health
from mien.domain.errors import StorageError


class App:
    """Detects when it is told to, and counts how often it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked, self.is_working, self._error = 0, threading.Event(), error

    def detect(self, _image: bytes) -> None:
        self.asked += 1
        self.is_working.wait(30)
        if self._error is not None:
            raise self._error

    def warnings(self) -> list[str]:
        return ["a warning"]


def ask_at_once(app: App, times: int) -> tuple[list[Any], str]:
    """Ask for the health so often, and do other work meanwhile; return the answers, and that work's result."""

    async def ask() -> tuple[list[Any], str]:
        inference = BoundedExecutor(2, 4)
        any_app: Any = app
        health = Health(any_app, inference, BoundedExecutor(1, 4))
        asking = [asyncio.create_task(health.check()) for _ in range(times)]
        gone = asyncio.create_task(health.check())
        await asyncio.sleep(0)
        gone.cancel()
        work = await asyncio.wait_for(inference.run(lambda: "done"), 20)
        app.is_working.set()
        return list(await asyncio.gather(*asking, return_exceptions=True)), work

    return asyncio.run(ask())


def test_many_who_ask_at_once_share_one_inference() -> None:
    app = App()
    answers, work = ask_at_once(app, 40)
    assert (app.asked, work, answers) == (1, "done", [["a warning"]] * 40)


def test_all_are_told_of_a_failure_and_the_next_one_tries_again() -> None:
    app = App(StorageError("broken"))
    app.is_working.set()

    async def ask() -> list[Any]:
        any_app: Any = app
        health = Health(any_app, BoundedExecutor(1, 1), BoundedExecutor(1, 1))
        at_once = await asyncio.gather(*(health.check() for _ in range(5)), return_exceptions=True)
        return [*at_once, *await asyncio.gather(health.check(), return_exceptions=True)]

    assert [str(each) for each in asyncio.run(ask())] == ["broken"] * 6
    assert app.asked == 2
