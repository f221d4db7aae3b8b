"""Children that are started again, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from reverie.cli.supervisor import Child, Patience, Supervisor

QUICK = Patience(first=0.01, longest=0.04, steady=30, grace=5)
NOTE = "import os,sys; open(sys.argv[1],'a').write(f'{os.getpid()}\\n');"
SLEEP = NOTE + "import time; time.sleep(60)"


def child(code: str, notes: Path, name: str = "one") -> Child:
    return Child(name=name, command=(sys.executable, "-c", code, str(notes)), environment=dict(os.environ))


def noted(notes: Path) -> list[int]:
    return [int(line) for line in notes.read_text().splitlines()] if notes.exists() else []


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.005)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


@asynccontextmanager
async def supervised(*children: Child, patience: Patience = QUICK) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(children, patience)
    task = asyncio.create_task(supervisor.run())
    try:
        with structlog.testing.capture_logs():
            yield supervisor
            supervisor.stop()
            await asyncio.wait_for(task, 10)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.anyio
async def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with supervised(child(SLEEP, notes)) as supervisor:
        for runs in range(1, 4):
            await until(lambda runs=runs: len(noted(notes)) == runs)  # type: ignore[misc]  # a default binds it now
            os.kill(supervisor.processes()["one"], signal.SIGKILL)
        await until(lambda: len(noted(notes)) == 4)

    assert len(set(noted(notes))) == 4
    assert not any(alive(pid) for pid in noted(notes))


@pytest.mark.anyio
async def test_one_dead_child_leaves_the_other_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    async with supervised(child(SLEEP, first, "first"), child(SLEEP, second, "second")) as supervisor:
        await until(lambda: len(noted(first)) == 1 and len(noted(second)) == 1)
        os.kill(supervisor.processes()["first"], signal.SIGKILL)
        await until(lambda: len(noted(first)) == 2)
        assert len(noted(second)) == 1


@pytest.mark.anyio
async def test_the_waits_grow_to_the_longest_and_no_further(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with structlog.testing.capture_logs() as lines:
        supervisor = Supervisor([child(NOTE + "sys.exit(3)", notes)], QUICK)
        task = asyncio.create_task(supervisor.run())
        await until(lambda: len(lines) >= 5)
        supervisor.stop()
        await asyncio.wait_for(task, 10)

    assert [line["again_in"] for line in lines[:5]] == [0.01, 0.02, 0.04, 0.04, 0.04]
    assert {line["status"] for line in lines} == {3}


@pytest.mark.anyio
async def test_a_child_that_lived_long_enough_waits_the_first_time_again(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    patience = Patience(first=0.01, longest=1, steady=0, grace=5)
    with structlog.testing.capture_logs() as lines:
        supervisor = Supervisor([child(NOTE, notes)], patience)
        task = asyncio.create_task(supervisor.run())
        await until(lambda: len(lines) >= 4)
        supervisor.stop()
        await asyncio.wait_for(task, 10)

    assert {line["again_in"] for line in lines} == {0.01}


@pytest.mark.anyio
async def test_a_program_that_is_not_there_is_tried_with_pauses() -> None:
    missing = Child(name="none", command=("/nonexistent/program",), environment={})
    with structlog.testing.capture_logs() as lines:
        supervisor = Supervisor([missing], QUICK)
        task = asyncio.create_task(supervisor.run())
        await until(lambda: len(lines) >= 3)
        supervisor.stop()
        await asyncio.wait_for(task, 10)

    assert "No such file" in lines[0]["status"]


@pytest.mark.anyio
async def test_stop_lets_a_child_end_in_its_own_time(tmp_path: Path) -> None:
    notes, done = tmp_path / "notes", tmp_path / "done"
    code = (
        f"import signal,sys,time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), "
        f"open({str(done)!r},'w').close(), sys.exit(0)));" + SLEEP
    )
    async with supervised(child(code, notes)):
        await until(lambda: len(noted(notes)) == 1)

    assert done.exists()
    assert len(noted(notes)) == 1


@pytest.mark.anyio
async def test_a_child_that_does_not_end_within_the_grace_is_killed(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEP
    async with supervised(child(code, notes), patience=Patience(first=0.01, grace=0.2)):
        await until(lambda: len(noted(notes)) == 1)

    assert not alive(noted(notes)[0])


@pytest.mark.anyio
async def test_a_second_stop_does_not_wait(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEP
    started = time.monotonic()
    async with supervised(child(code, notes), patience=Patience(first=0.01, grace=60)) as supervisor:
        await until(lambda: len(noted(notes)) == 1)
        supervisor.stop()

    assert time.monotonic() - started < 30
    assert not alive(noted(notes)[0])


SERVER = (
    NOTE + "import socket; s=socket.socket(fileno=int(sys.argv[2]));\n"
    "while True:\n c,_=s.accept(); c.sendall(str(os.getpid()).encode()); c.close()"
)


@pytest.mark.anyio
async def test_connections_wait_while_the_server_is_started_again(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    listener = socket.create_server(("127.0.0.1", 0))
    number = listener.fileno()
    server = Child(
        name="server",
        command=(sys.executable, "-c", SERVER, str(notes), str(number)),
        environment=dict(os.environ),
        descriptors=(number,),
    )
    port = listener.getsockname()[1]

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await reader.read()
        writer.close()
        return answer

    with listener:
        async with supervised(server, patience=Patience(first=0.2, longest=0.2, grace=5)) as supervisor:
            first = await ask()
            os.kill(supervisor.processes()["server"], signal.SIGKILL)
            await until(lambda: "server" not in supervisor.processes())
            second = await asyncio.wait_for(ask(), 10)

    assert [first, second] == [str(pid).encode() for pid in noted(notes)]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the children of a dead parent on Linux only")
@pytest.mark.anyio
async def test_a_child_ends_with_its_parent_even_when_that_is_killed(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    code = f"from reverie.cli.child import end_with; import os; end_with(os.getppid()); {SLEEP}"
    parent = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-c", f"import subprocess,sys; subprocess.run([sys.executable,'-c',{code!r},{str(notes)!r}])"]
    )
    await until(lambda: len(noted(notes)) == 1)
    pid = noted(notes)[0]

    parent.kill()
    parent.wait()

    await until(lambda: not alive(pid))


def test_a_child_whose_parent_is_gone_already_does_not_start() -> None:
    code = "from reverie.cli.child import end_with; end_with(1); print('started')"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)

    assert (done.returncode, done.stdout) == (1, "")
