"""Requests of strangers begin one in each round of the event loop, of each client in turn."""

from __future__ import annotations

import asyncio

from mien.api.turns import Turns


async def rounds(clients: str, *, has_gone: bool = False) -> list[str]:
    """Have clients, each named by a letter, ask at once; returns who began in each round in which somebody did."""
    turns, begun = Turns(), []

    async def ask(client: str) -> None:
        if not turns.take():
            await turns.wait(client, lambda: has_gone)
        begun.append(client)

    asking, seen, told = [asyncio.ensure_future(ask(client)) for client in clients], 0, []
    while not all(each.done() for each in asking):
        await asyncio.sleep(0)
        if len(begun) > seen:
            told.append("".join(begun[seen:]))
            seen = len(begun)
    return told


def test_one_request_begins_in_a_round_and_each_client_has_its_turn() -> None:
    assert asyncio.run(rounds("aaaabc")) == ["a", "a", "b", "c", "a", "a"]


def test_those_who_have_gone_take_no_turns() -> None:
    assert asyncio.run(rounds("aaaabc", has_gone=True)) == ["a", "abcaa"]


def test_a_turn_is_free_again_when_nobody_waits() -> None:
    async def twice() -> None:
        turns = Turns()
        for _ in range(2):
            assert turns.take()
            assert not turns.take()
            await asyncio.sleep(0)

    asyncio.run(twice())
