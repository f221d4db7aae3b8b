"""Several records in one call: stop at the first mistake, carry on, or undo everything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from reverie.database import Connection, Refusal
from reverie.errors import BadRequest, BatchError, ReverieError
from reverie.model import JSON, Request
from reverie.services.system.resource import flag
from reverie.store.store import Store

T = TypeVar("T")

EMPTY = (
    "No record(s) detected in request. Please make sure record(s) are wrapped in a 'resource' tag. "
    'Example: {"resource":[{"record":1},{"record":2}]}'
)


class Mode(Enum):
    STOP = "stop"
    CONTINUE = "continue"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Failed:
    """What stands in the place of a record that failed."""

    error: ReverieError


def mode_of(request: Request) -> Mode:
    """Raises BadRequest when the call asks for both modes."""
    carry_on, undo = flag(request, "continue"), flag(request, "rollback")
    if carry_on and undo:
        raise BadRequest("Rollback and continue cannot be asked for in one call.")
    return Mode.CONTINUE if carry_on else Mode.ROLLBACK if undo else Mode.STOP


def records_of(request: Request) -> list[JSON]:
    """The records of a body: a list, ``{"resource": [...]}``, or one bare object.

    Raises:
        BadRequest: there is none, or the body cannot be read.
    """
    body = request.payload
    if isinstance(body, dict) and "resource" in body:
        body = body["resource"]
    if isinstance(body, dict) and body:
        return [body]
    if not isinstance(body, list) or not body or body == [{}]:
        raise BadRequest(request.payload_error or EMPTY)
    return body


def record_of(request: Request) -> dict[str, JSON]:
    """The one record of a body that addresses one; of several the first.

    Raises:
        BadRequest: there is none.
    """
    return as_record(records_of(request)[0])


def as_record(item: JSON) -> dict[str, JSON]:
    """Raises BadRequest for something that is no object."""
    if not isinstance(item, dict):
        raise BadRequest("A record must be an object.")
    return item


async def run_all(items: Sequence[T], step: Callable[[T], Awaitable[JSON]], mode: Mode) -> list[JSON | Failed]:
    """Take the step for each item; stops after the first failure unless the mode is to carry on."""
    results: list[JSON | Failed] = []
    for item in items:
        try:
            results.append(await step(item))
        except ReverieError as error:
            results.append(Failed(error))
            if mode is not Mode.CONTINUE:
                break
    return results


def finish(results: Sequence[JSON | Failed], verb: str, *, undone: bool = False) -> list[JSON]:
    """The results when all went well.

    Raises:
        BatchError: some failed; it tells which, with what became of the others.
    """
    failed = [index for index, result in enumerate(results) if isinstance(result, Failed)]
    told: list[JSON] = [result.error.entry() if isinstance(result, Failed) else result for result in results]
    if failed:
        suffix = " All changes rolled back." if undone else ""
        raise BatchError(
            f"Batch Error: Not all requested records could be {verb}.{suffix}", failed=failed, results=told
        )
    return told


async def write_all(
    store: Store,
    items: Sequence[T],
    step: Callable[[Connection, T], Awaitable[JSON]],
    mode: Mode,
    verb: str,
    *,
    batch: bool = True,
) -> list[JSON]:
    """Take a writing step for each item, all in one transaction, each in a savepoint of its own.

    Raises:
        BatchError: some failed. What was done before stays, unless the mode is to roll back.
        ReverieError: without *batch*, what was wrong with the one item.
    """

    async def work(connection: Connection) -> list[JSON | Failed]:
        async def guarded(item: T) -> JSON:
            try:
                async with connection.savepoint():
                    return await step(connection, item)
            except Refusal as refusal:
                raise client_error(refusal) from refusal

        if not batch:
            return [await guarded(item) for item in items]
        results = await run_all(items, guarded, mode)
        if mode is Mode.ROLLBACK:
            finish(results, verb, undone=True)
        return results

    return finish(await store.write(work), verb)


def client_error(refusal: Refusal) -> BadRequest:
    """A constraint's no, told to the client without the database's words."""
    fields = ", ".join(part.split(".")[-1].strip() for part in refusal.detail.split(",") if part.strip())
    if refusal.kind == "unique":
        name = fields or "value"
        return BadRequest(f"A record with this {name} exists already.", context={name: ["This value is taken."]})
    if refusal.kind == "foreign_key":
        return BadRequest("The record refers to another one that does not exist.")
    if refusal.kind == "not_null":
        return BadRequest(f"The field '{fields}' is required.", context={fields: ["This field is required."]})
    return BadRequest("A value does not fit its field.")
