"""The values that everything else speaks of. Frozen, no input or output, behaviour lives beside them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag, StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from dataclasses import dataclass as hot
else:

    def hot(**how: Any) -> Any:
        """A dataclass made for every call: frozen for the type checkers alone.

        Each field of one that is frozen at run time too is set through a guard, which costs a call a tenth of its time.
        """
        return dataclass(**{**how, "frozen": False})


JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

_TRUE: Final = frozenset({"1", "true", "on", "yes", "y", "t"})

MAX_DEPTH: Final = 16
"""How many calls may nest (a script calls, its event runs a script, which calls ...) before 508."""


class Verb(IntFlag):
    """Bits of ``verb_mask`` in a role's access rows."""

    GET = 1
    POST = 2
    PUT = 4
    PATCH = 8
    DELETE = 16
    OPTIONS = 32
    HEAD = 64


class Requestor(IntFlag):
    """Bits of ``requestor_mask``: who makes a call."""

    API = 1
    SCRIPT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One row of a role: what it may do with a component of a service (contract of rows: docs/reference/access.md).

    Attributes:
        service: name of the service; None means all services.
        component: ``""`` the service's root, ``*`` everything, ``_table/todo``, ``_table/todo/*``; no outer slashes.
        filters: conditions on records, ``{"name", "operator", "value"}`` each.
    """

    id: int
    role_id: int
    service_id: int | None
    service: str | None
    component: str
    verb_mask: int
    requestor_mask: int
    filters: tuple[Mapping[str, JSON], ...] = ()
    filter_op: str = "AND"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    id: int
    name: str
    is_active: bool
    access: tuple[Access, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks.

    Attributes:
        user: the session's user as scripts see it (``id name username display_name first_name last_name email
            is_sys_admin last_login_date ldap_username``); None without a user.
        role: what decides access; None for an administrator and for a caller without one.
        is_admin: an administrator without a role: everything is allowed.
        lookups: public lookups in force for this caller, user over role over app over system.
        secrets: private lookups, likewise; they resolve in script text and settings, and are never shown.
    """

    app_id: int | None = None
    api_key: str | None = None
    session_token: str | None = None
    user: Mapping[str, JSON] | None = None
    role: Role | None = None
    is_admin: bool = False
    lookups: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)

    @property
    def user_id(self) -> int | None:
        value = self.user.get("id") if self.user else None
        return value if isinstance(value, int) else None


ANONYMOUS: Final = Caller()


@hot(frozen=True, slots=True, kw_only=True)
class Request:
    """One call, whoever makes it.

    Attributes:
        method: upper case, after tunnelling; one of GET POST PUT PATCH DELETE.
        service: lower-cased name from the path.
        resource: path after the service, percent-decoded, ``..`` deleted, no leading slash; a trailing one is kept.
        parameters: the query; ``a[]=1`` is a list, ``a[b]=1`` a map, everything else text.
        headers: names in lower case; repeated ones joined with ``,``.
        payload: the decoded body: ``{}`` for an empty one, None when it cannot be decoded.
        content: the body as it came.
        content_type: the header, else ``application/json``.
        uri: path without query.
        payload_error: why `payload` is None although there is a body; services that need a body raise it as BadRequest.
    """

    method: str
    service: str
    resource: str = ""
    parameters: Mapping[str, JSON] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    payload: JSON = field(default_factory=dict)
    content: bytes = b""
    content_type: str = "application/json"
    uri: str = ""
    api_version: str = "2.0"
    payload_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A list of records that comes in parts, so that nobody holds it whole.

    Attributes:
        first: the first part; no part is empty.
        rest: the others; raises when the list cannot be finished. Whoever takes the answer closes it.
        meta: what stands beside the list.
    """

    first: Sequence[Mapping[str, JSON]]
    rest: AsyncGenerator[Sequence[Mapping[str, JSON]], None]
    meta: Mapping[str, JSON] = field(default_factory=dict)


@hot(frozen=True, slots=True, kw_only=True)
class Response:
    """The answer to a Request.

    Attributes:
        content: a structure to be encoded as the client asked; bytes go out as they are; None is an empty body.
        content_type: None means the negotiated format; with a text `content`, the text goes out as it is.
        headers: extra headers; names as the client shall see them.
        encoded: the JSON bytes of `content` where the service has them at hand; a change of content drops them.
        parts: a list in place of `content`; only where the context streams.
    """

    status: int = 200
    content: JSON | bytes = None
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    encoded: bytes | None = None
    parts: Parts | None = None


@hot(frozen=True, slots=True, kw_only=True)
class Context:
    """What surrounds a Request on its way.

    Attributes:
        call: another request on behalf of the same caller, as a script makes it (requestor SCRIPT, depth + 1). Failures
            come back as a Response with the error body; it does not raise ReverieError.
        depth: 0 for a client's call, +1 for every nested one.
        hops: how many jobs led here: 0 for a client's call, +1 in every job.
        deadline: monotonic seconds after which nobody waits for the answer; None for ever.
        job_id: the job on whose behalf the call is made, if any.
        trace: the W3C ``traceparent`` that the call came with; ``""`` without one.
        holds: whether the worker that runs the job on whose behalf the call is made may still act for it; None: no job.
        rehearse: of a run that must change nothing: what a call that might change something is answered in place of
            being made; None for one that may be made. Itself None where everything is done.
        streams: the answer may come in `Response.parts`: nobody on the way needs to see it whole.
        note: is told how many seconds a part of the answer took, such as ``database``; None: nobody wants to know.
    """

    caller: Caller
    call: Callable[[Request], Awaitable[Response]]
    requestor: Requestor = Requestor.API
    depth: int = 0
    hops: int = 0
    deadline: float | None = None
    request_id: str = ""
    job_id: str | None = None
    trace: str = ""
    holds: Callable[[], bool] | None = None
    rehearse: Callable[[Request], Response | None] | None = None
    streams: bool = False
    note: Callable[[str, float], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """User code bound to an event or a service.

    Attributes:
        identifier: the event name, or ``service.<name>``; stands in logs.
        language: the engine's name, such as ``v8js``; as stored, so possibly unknown.
        content: the text; before it runs, lookups are put in.
        linked: the file of the script library that holds the text; ``""``: it is `content`.
        config: engine and queue options, as stored.
        version: grows with every change of the stored text.
        may_modify: its edits of the event take effect.
        key: what its versions, counts and captures are kept under: the event's name in lower case, or
            ``service:<id>``; ``""`` for a text that was never saved.
    """

    identifier: str
    language: str
    content: str
    linked: str = ""
    config: Mapping[str, JSON] = field(default_factory=dict)
    version: int = 1
    may_modify: bool = False
    key: str = ""


class JobStatus(StrEnum):
    """Where a job is in its life (docs/explanation/job-states.md)."""

    WAITING = "waiting"
    DELAYED = "delayed"  # waiting with a due time in the future; stored as waiting
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # its script was gone or inactive when its turn came


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of a job. Times are Unix seconds of the store's clock; `error` is ``{"type","message","line",...}``.

    Attributes:
        output: the end of what the script printed.
    """

    number: int
    started_at: float
    ended_at: float | None
    outcome: str
    error: JSON = None
    worker: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An event kept for later. Times are Unix seconds of the store's clock, durations seconds.

    Attributes:
        id: a UUID, time-ordered (version 7), so ids sort by age.
        kind: ``script.event``, ``script.service`` or ``call``.
        script: event script name, ``service:<id>``, or ``call:<service>``.
        name: for people, such as ``service:queued_script``.
        delay: due this long after it was queued, and between tries; None means the worker's back-off decides.
        tries: most attempts; None means the worker decides; 0 for ever.
        attempts: runs in which the script had its say. `crashes`: runs lost with their process; counted apart.
        epoch: grows at each claim; whoever settles a job must name the one of his claim.
        payload: sealed event, caller and environment, opaque here.
        stamp: version of the settings when it was queued; a worker that knows less must look again.
        verb, service: of the call that was kept, such as ``POST`` and ``db``; ``""`` when there was none.
        user_id, role_id, app_id: who made that call.
        trace: its W3C ``traceparent``; ``""`` when it had none.
    """

    id: str
    kind: str
    script: str
    name: str
    connection: str
    queue: str
    status: JobStatus = JobStatus.WAITING
    priority: int = 0
    delay: float | None = None
    tries: int | None = None
    timeout: float | None = None
    attempts: int = 0
    crashes: int = 0
    epoch: int = 0
    hops: int = 1
    stamp: int = 0
    verb: str = ""
    service: str = ""
    user_id: int | None = None
    role_id: int | None = None
    app_id: int | None = None
    trace: str = ""
    created_at: float = 0.0
    due_at: float = 0.0
    finished_at: float | None = None
    error: JSON = None
    payload: bytes = b""


def is_true(value: JSON) -> bool:
    """What the API takes for yes: ``1 true on yes y t``, in any case; everything else is no."""
    if isinstance(value, str):
        return value.strip().lower() in _TRUE
    return value is True or (isinstance(value, int | float) and value == 1)
