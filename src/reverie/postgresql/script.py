"""Run a script of statements once, whoever else would run it too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import asyncpg

from reverie.postgresql.address import Address
from reverie.postgresql.errors import CAUGHT, translate
from reverie.postgresql.pool import connect

_LOCK: Final = 0x5E7E121F
"""Of those who run scripts; any number that others do not use."""


async def run_script(address: Address, question: str, script_after: Callable[[str | None], str | None]) -> str | None:
    """Ask *question*, and run the script that follows from the answer, all in one transaction; the answer.

    Processes that come together wait for one another. Where the question's table is not there, the answer is None.

    Args:
        script_after: the script; None runs nothing, and then nobody is waited for.

    Raises:
        DatabaseError
    """
    try:
        raw = await connect(address)
        try:
            answer = await _ask(raw, question)
            if script_after(answer) is None:
                return answer
            async with raw.transaction():
                await raw.execute(f"SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({_LOCK})")
                answer = await _ask(raw, question)
                script = script_after(answer)
                if script is not None:
                    await raw.execute(script)
            return answer
        finally:
            await raw.close(timeout=2)
    except CAUGHT as error:
        raise translate(error) from error


async def _ask(raw: Any, question: str) -> str | None:
    try:
        async with raw.transaction():
            answer = await raw.fetchval(question)
    except asyncpg.UndefinedTableError:
        return None
    return None if answer is None else str(answer)
