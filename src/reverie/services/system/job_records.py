"""Jobs as records: listed with a filter, changed and forgotten one by one or many at a time.

What is read comes from the store; every change goes through the queue, which knows what may become of a job and wakes
whom it concerns. So changes of several jobs are not one transaction, and cannot be rolled back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, TypeVar

from sqlalchemy import ColumnElement, and_, select

from reverie.clock import Clock
from reverie.database import Value
from reverie.errors import BadRequest, Conflict, NotFound, ReverieError
from reverie.jobs.ledger import ENDED
from reverie.jobs.queue import Queue
from reverie.model import JSON, Caller, Context, Job, JobStatus, Request, Response
from reverie.services.system import job_rows
from reverie.services.system.batch import Failed, Mode, finish, mode_of, records_of
from reverie.services.system.criteria import Criteria, parameter, read_criteria
from reverie.services.system.fields import Field
from reverie.services.system.records import NOTHING_TO_DELETE, Change, Records, plain, unfailed
from reverie.services.system.relations import Row
from reverie.services.system.resource import flag, unsupported_verb
from reverie.store.script_versions import choose_versions
from reverie.store.store import Store

T = TypeVar("T")

AT_ONCE: Final = 500
"""Jobs changed by one call of the queue."""
LARGEST_PRIORITY: Final = 2**31 - 1
WANTED: Final = 'Send {"action": "retry"}, {"action": "cancel"} or {"priority": 5}.'
THEN, NOW = "then", "now"
"""Which version of its script a job that is tried again runs: the one when it was queued, or today's."""
_LONGEST_ID: Final = 36
_WAIT: Final = (JobStatus.WAITING, JobStatus.DELAYED)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call asks of a job."""

    action: str | None
    priority: int | None
    version: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Deed:
    """Something done to jobs; the same object for all it is done to at once.

    Attributes:
        refuse: why it cannot be done to a job, None when it can.
        do: does it; the ids of those it was done to.
    """

    refuse: Callable[[Job], ReverieError | None]
    do: Callable[[list[str]], Awaitable[set[str]]]


class JobRecords(Records):
    """One call about jobs: made for its caller, and for what its parameters leave.

    Args:
        narrow: jobs that the resource is about, beside what the caller may see.
        asked: jobs that the call's own parameters leave; in a call that names none otherwise they are those it is for.
    """

    name = "job"
    table = job_rows.TABLE
    fields: ClassVar[tuple[Field, ...]] = job_rows.JOB_FIELDS

    def __init__(
        self,
        store: Store,
        queue: Queue,
        clock: Clock,
        caller: Caller,
        *,
        narrow: Sequence[ColumnElement[bool]] = (),
        asked: Sequence[ColumnElement[bool]] = (),
    ) -> None:
        super().__init__(store)
        self.queue = queue
        self.now = clock.now()
        self._deeds: dict[Wanted, Deed] = {}
        self.asked = and_(*asked) if asked else None
        self.narrow = [*narrow, *asked, *(one for one in (job_rows.visible(caller),) if one is not None)]

    async def handle(self, request: Request, context: Context, path: list[str]) -> Response:
        if request.method == "GET":
            return await (self.read_one(request, path[0]) if path else self.read_many(request))
        if flag(request, "rollback"):
            raise BadRequest("Changes of jobs cannot be rolled back; leave out 'rollback'.")
        if request.method == "PATCH":
            return await (self.change_one(request, context, path[0]) if path else self.change_many(request, context))
        if request.method == "DELETE":
            return await (self.delete_one(request, context, path[0]) if path else self.delete_many(request, context))
        raise unsupported_verb(request, self.name, path)

    # -- what is special about jobs

    def scope(self) -> ColumnElement[bool] | None:
        return and_(*self.narrow) if self.narrow else None

    def match_value(self, identifier: JSON) -> Value:
        text = str(identifier)
        return text if text.isascii() and text.isprintable() and len(text) <= _LONGEST_ID else None

    def not_found(self, identifier: JSON) -> NotFound:
        return NotFound(f"There is no job {identifier!r}.")

    def show(self, row: Row) -> dict[str, JSON]:
        return job_rows.shown(job_rows.job_of(row, self.now))

    def columns(self) -> job_rows.JobColumns:
        return job_rows.JobColumns(self.now)

    def newest_first(self, request: Request) -> tuple[ColumnElement[Any], ...]:
        """By age; jobs that ended in one way by their end, where an index has that order."""
        status = parameter(request, "status")
        if status and job_rows.status_of(status) in ENDED:
            return (self.table.c.finished_at.desc(), self.table.c.id.desc())
        return (self.table.c.id.desc(),)

    def criteria(self, request: Request) -> Criteria:
        found = read_criteria(request, self.table, self.fields, self.key, self.columns())
        if found.related:
            raise BadRequest(f"Unknown relationship: {found.related[0]}")
        if parameter(request, "order"):
            return found
        return replace(found, order=self.newest_first(request))

    # -- changing

    async def prepare(self, sent: dict[str, JSON], *, creating: bool) -> dict[str, JSON]:
        wanted_of(sent)
        return sent

    async def changes(self, request: Request, criteria: Criteria, mode: Mode) -> list[Change | Failed]:
        named = any(isinstance(item, dict) and self.key in item for item in records_of(request))
        return await super().changes(request, criteria if named else self.asked_for(criteria), mode)

    def asked_for(self, criteria: Criteria) -> Criteria:
        return criteria if criteria.where is not None else replace(criteria, where=self.asked)

    async def change_all(
        self, changes: Sequence[Change | Failed], request: Request, context: Context, mode: Mode, *, batch: bool = False
    ) -> list[JSON]:
        def named(change: Change | Failed) -> tuple[JSON, Deed]:
            wanted = unfailed(change)
            if wanted.identifier is None:
                raise BadRequest(f"The record has no '{self.key}' that says which job to change.")
            return wanted.identifier, self.deed(wanted_of(wanted.sent))

        results = await self.each(changes, named, mode)
        return finish(results, "updated") if batch else [told(result) for result in results]

    def deed(self, wanted: Wanted) -> Deed:
        """The same one for the same wish, so that it is done to many jobs at once."""
        if wanted not in self._deeds:
            self._deeds[wanted] = self._deed(wanted)
        return self._deeds[wanted]

    def _deed(self, wanted: Wanted) -> Deed:
        if wanted.action == "cancel":
            return Deed(cannot_cancel, self.cancel)
        priority = wanted.priority
        if wanted.action is None:
            assert priority is not None  # noqa: S101 - `wanted_of` saw to that
            return Deed(cannot_move, lambda ids: self.prioritise(ids, priority))
        return Deed(cannot_retry, lambda ids: self.retry(ids, priority, wanted.version))

    async def cancel(self, ids: list[str]) -> set[str]:
        return {job.id for job in await self.queue.cancel(ids)}

    async def retry(self, ids: list[str], priority: int | None, version: str | None) -> set[str]:
        if version is not None:
            await choose_versions(self.store, ids, then=version == THEN)
        done = {job.id for job in await self.queue.retry(ids)}
        if priority is not None:
            await self.prioritise(sorted(done), priority)
        return done

    async def prioritise(self, ids: list[str], priority: int) -> set[str]:
        return {job.id for job in await self.queue.ledger.prioritise(ids, priority)}

    async def reread(self, done: Sequence[JSON], criteria: Criteria) -> list[JSON]:
        """In pieces: no database takes any number of values in one statement."""
        found: list[JSON] = []
        for start in range(0, len(done), AT_ONCE):
            found += await super().reread(done[start : start + AT_ONCE], criteria)
        return found

    # -- forgetting

    async def delete_many(self, request: Request, context: Context) -> Response:
        criteria = self.criteria(request)
        if criteria.ids is None and criteria.where is None and not request.payload:
            if self.asked is None and not flag(request, "force"):
                raise BadRequest(NOTHING_TO_DELETE)
            if flag(request, "force"):
                self.narrow.append(self.table.c.finished_at.is_not(None))
            doomed = await self.keys(self.conditions(None))
            gone = await self.delete_all(doomed, criteria, context, mode_of(request), batch=True)
            return Response(content={"resource": gone})
        return await super().delete_many(request, context)

    async def delete_all(
        self, doomed: Sequence[JSON], criteria: Criteria, context: Context, mode: Mode, *, batch: bool = False
    ) -> list[JSON]:
        forget = Deed(cannot_forget, self.forget)
        results = await self.each(doomed, lambda identifier: (identifier, forget), mode, criteria)
        return finish(results, "deleted") if batch else [told(result) for result in results]

    async def forget(self, ids: list[str]) -> set[str]:
        return set(await self.queue.ledger.forget(ids))

    # -- many at a time

    async def each(
        self, items: Sequence[T], named: Callable[[T], tuple[JSON, Deed]], mode: Mode, criteria: Criteria | None = None
    ) -> list[JSON | Failed]:
        """Do to each job what *named* says; stops after the first that cannot be, unless the mode is to carry on.

        Args:
            criteria: how a job that is forgotten is told; None tells only the ids.
        """
        results: list[JSON | Failed] = []
        for start in range(0, len(items), AT_ONCE):
            results += await self._some([*items[start : start + AT_ONCE]], named, mode, criteria)
            if mode is not Mode.CONTINUE and any(isinstance(result, Failed) for result in results):
                break
        return results

    async def _some(
        self, items: list[T], named: Callable[[T], tuple[JSON, Deed]], mode: Mode, criteria: Criteria | None
    ) -> list[JSON | Failed]:
        asked = [_attempted(named, item) for item in items]
        rows = await self._rows([one[0] for one in asked if not isinstance(one, Failed)])
        results: list[JSON | Failed] = []
        deeds: list[tuple[int, str, Deed]] = []
        for one in asked:
            try:
                identifier, deed = unfailed(one)
                row = rows.get(self.match_value(identifier))
                if row is None:
                    raise self.not_found(identifier)
                if (error := deed.refuse(job_rows.job_of(row, self.now))) is not None:
                    raise error
                deeds.append((len(results), str(row["id"]), deed))
                results.append({self.key: plain(row["id"])} if criteria is None else await self._told(row, criteria))
            except ReverieError as error:
                results.append(Failed(error))
                if mode is not Mode.CONTINUE:
                    break
        await self._do(deeds, results)
        return results

    async def _rows(self, identifiers: list[JSON]) -> Mapping[Value, Row]:
        query = select(self.table).where(*self.conditions(self.matching(identifiers)))
        return {row["id"]: row for row in await self.store.fetch(query)}

    async def _told(self, row: Row, criteria: Criteria) -> JSON:
        return (await self.shaped([row], criteria, None))[0]

    async def _do(self, deeds: list[tuple[int, str, Deed]], results: list[JSON | Failed]) -> None:
        """What is the same deed at once; a job that moved meanwhile is told so."""
        for deed in dict.fromkeys(deed for _, _, deed in deeds):
            same = [(at, job_id) for at, job_id, other in deeds if other is deed]
            done = await deed.do(list(dict.fromkeys(job_id for _, job_id in same)))
            for at, job_id in same:
                if job_id not in done:
                    results[at] = Failed(Conflict(f"The job {job_id} moved on meanwhile; look at it again."))


def wanted_of(sent: Mapping[str, JSON]) -> Wanted:
    """What a record asks for.

    Raises:
        BadRequest: nothing, or something that is not known.
    """
    action, priority, version = sent.get("action"), sent.get("priority"), sent.get("version")
    if version is not None and (action != "retry" or version not in (THEN, NOW)):
        raise BadRequest("A retry can have a 'version': 'then' runs the script as it was queued, 'now' as it is.")
    version = None if version is None else str(version)
    if action is None and priority is None:
        raise BadRequest(f"There is nothing to do. {WANTED}")
    if action not in (None, "retry", "cancel"):
        raise BadRequest(f"There is no action {action!r}. {WANTED}")
    if priority is None:
        return Wanted(str(action), None, version)
    if action == "cancel":
        raise BadRequest("A job that is cancelled needs no priority; send one of the two.")
    try:
        number = int(str(priority))
    except ValueError:
        number = LARGEST_PRIORITY + 1
    if isinstance(priority, bool) or abs(number) > LARGEST_PRIORITY:
        raise BadRequest(f"The priority must be a whole number between -{LARGEST_PRIORITY} and {LARGEST_PRIORITY}.")
    return Wanted(None if action is None else str(action), number, version)


def cannot_retry(job: Job) -> Conflict | None:
    match job.status:
        case JobStatus.FAILED | JobStatus.CANCELLED | JobStatus.SKIPPED:
            return None
        case JobStatus.DONE:
            return Conflict(f"The job {job.id} is done; a job that ended well is not run again.")
        case JobStatus.RUNNING:
            return Conflict(f"The job {job.id} is running; cancel it first, or wait for its end.")
        case _:
            return Conflict(f"The job {job.id} is {job.status}; it will run without a retry.")


def cannot_cancel(job: Job) -> Conflict | None:
    return Conflict(f"The job {job.id} has ended already: it is {job.status}.") if job.status in ENDED else None


def cannot_move(job: Job) -> Conflict | None:
    if job.status in _WAIT:
        return None
    return Conflict(f"The job {job.id} is {job.status}; only one that waits can get another priority.")


def cannot_forget(job: Job) -> Conflict | None:
    if job.status in ENDED:
        return None
    return Conflict(f"The job {job.id} is {job.status}; cancel it first, then it can be deleted.")


def _attempted(named: Callable[[T], tuple[JSON, Deed]], item: T) -> tuple[JSON, Deed] | Failed:
    try:
        return named(item)
    except ReverieError as error:
        return Failed(error)


def told(result: JSON | Failed) -> JSON:
    """Raises the error of what failed."""
    if isinstance(result, Failed):
        raise result.error
    return result
