"""Runs told to who listens: in this process and in others, to slow ones and to dead ones."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from reverie.clock import SystemClock
from reverie.events import tracing
from reverie.events.tracing import Trace
from reverie.model import JSON

pytestmark = pytest.mark.anyio


@pytest.fixture
async def trace(tmp_path: Path) -> AsyncIterator[Trace]:
    made = Trace(tmp_path / "trace", SystemClock())
    yield made
    await made.close()


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[Trace]:
    """Of another process that shares the folder."""
    made = Trace(tmp_path / "trace", SystemClock())
    yield made
    await made.close()


async def test_nobody_is_told_while_nobody_listens(trace: Trace) -> None:
    assert not trace.wanted
    trace.tell({"n": 1})
    assert not trace.wanted


async def test_another_process_hears_each_run_in_order(trace: Trace, other: Trace) -> None:
    async with aclosing(other.listen()) as heard:
        assert await anext(heard) == b""
        assert trace.wanted
        for number in range(100):  # more than a socket keeps
            trace.tell({"n": number})
        async with asyncio.timeout(10):
            told = [json.loads(await anext(heard))["n"] for _ in range(100)]

    assert told == list(range(100))
    assert not trace.wanted


async def test_what_a_slow_listener_misses_is_counted(trace: Trace, other: Trace) -> None:
    async with aclosing(other.listen()) as heard:
        await anext(heard)
        for number in range(tracing.MOST_WAITING + 50):
            trace.tell({"n": number})
        told: list[JSON] = []
        async with asyncio.timeout(10):
            while not told or not isinstance(told[-1], dict) or "missed" not in told[-1]:
                told.append(json.loads(await anext(heard)))

    missed = told[-1]
    assert isinstance(missed, dict)
    assert isinstance(missed["missed"], int)
    assert len(told) - 1 + missed["missed"] == tracing.MOST_WAITING + 50


async def test_the_socket_of_a_killed_process_goes_away(trace: Trace, tmp_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    folder = os.open(tmp_path / "trace", os.O_RDONLY)
    dead.bind(f"/proc/self/fd/{folder}/4711-1.sock")
    dead.close()
    os.close(folder)
    assert trace.wanted

    trace.tell({"n": 1})

    assert not trace.wanted


async def test_a_run_that_says_much_is_told_without_what_it_printed(trace: Trace, other: Trace) -> None:
    async with aclosing(other.listen()) as heard:
        await anext(heard)
        trace.tell({"script": "a", "output": "x" * tracing.LARGEST, "changed": ["b"]})
        told = json.loads(await anext(heard))

    assert told == {"script": "a", "output": "", "changed": [], "shortened": True}


async def test_stopping_lets_listeners_go(trace: Trace) -> None:
    heard = trace.listen()
    await anext(heard)
    waiting = asyncio.ensure_future(anext(heard, None))
    await asyncio.sleep(0)
    trace.stop()

    assert await asyncio.wait_for(waiting, 5) is None
    assert not trace.wanted


async def test_a_long_path_of_the_folder_is_no_obstacle(tmp_path: Path) -> None:
    trace = Trace(tmp_path / ("x" * 60) / ("y" * 60) / "trace", SystemClock())
    async with aclosing(trace.listen()) as heard:
        await anext(heard)
        trace.tell({"n": 1})
        assert json.loads(await anext(heard)) == {"n": 1}
    await trace.close()
