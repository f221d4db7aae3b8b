"""What the code observes: one list of named events, and how they become log lines.

One event, one line. Modules log with ``structlog.get_logger()`` and a name of `EVENTS`; `set_up` decides the form.
Values under a name that sounds like a credential are never written, at any level.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Literal, TypeAlias

import structlog

Level: TypeAlias = Literal["debug", "info", "warning", "error"]

EVENTS: Final[Mapping[str, str]] = {
    "api.started": "the API answers requests",
    "api.stopped": "the API answered what it had and ended",
    "request.failed": "a request met an error that nobody expected; the client saw 500 and the request id",
    "response.header_dropped": "a script or service gave a header that cannot be sent",
    "child.ended": "a process of `reverie up` ended, and is started again after a pause",
    "child.killed": "processes of `reverie up` did not end in time when asked to",
    "worker.started": "a worker serves its queues",
    "worker.draining": "a worker claims nothing more and lets what runs end",
    "worker.stopped": "a worker ended",
    "worker.told": "an operator told a worker to take nothing, to go on, or to end",
    "store.newer": "a newer program has changed the store so that this one cannot use it, and ends",
    "worker.store_away": "a worker cannot reach the store, and tries again",
    "lease.not_renewed": "a worker could not hold on to jobs in time; others may take them",
    "metrics.store_away": "the store could not be reached when somebody asked for the metrics",
    "metrics.not_told": "a worker could not add its counts to the store's; it tries again",
    "worker.helper_failed": "what a worker does beside its jobs has ended by a mistake of ours; it drains",
    "store.setting_unreadable": "a secret in a service's settings cannot be opened, and counts as not set",
    "store.lookup_unreadable": "a private lookup cannot be opened, and counts as not there",
    "service.events_unknown": "a service could not tell which events it has",
    "key.changed": "the secret keys in the data folder are others now",
    "key.not_shared": "others seal in this store under a secret key that is not known here",
    "job.pushed": "a job was stored (debug)",
    "job.claimed": "a worker has taken jobs (debug)",
    "job.running": "a job's run begins (debug)",
    "job.done": "a job's run has ended well (debug)",
    "job.cancelled": "jobs were ended by hand",
    "job.requeued": "jobs that had ended are due again, by hand",
    "job.purged": "jobs that were kept long enough were deleted",
    "queue.paused": "nobody takes from a queue",
    "queue.resumed": "a queue is taken from again",
    "job.failed": "a job has failed for good",
    "job.retried": "a run of a job failed; it will be tried again",
    "job.crashed": "a job was lost with its process",
    "job.released": "a job was given back, with nothing counted",
    "job.skipped": "a job's script was gone or inactive",
    "job.lost": "a job was another worker's before this one had ended it",
    "job.taken_back": "jobs of dead or hanging workers are due again",
    "job.tried_often": "a job that is tried for ever failed many times",
    "queue.wait_unknown": "nobody could tell how long a new job will wait",
    "queue.delay_ignored": "the delay of a script is not a number that can be kept",
    "queue.not_told": "a connection's server is away: until it is back, workers find its jobs by looking at the store",
    "queue.told_again": "a connection's server is back, and has been told which queues have work",
    "worker.broker_away": "a worker cannot listen to a connection's server; it looks at the store, and tries again",
    "worker.broker_back": "a worker listens to a connection's server again",
    "queue.not_announced": "workers of other hosts were not told of jobs; they find them by looking at the store",
    "store.deaf": "nothing is heard of what other processes change; it is looked for instead, and heard of soon again",
    "store.pooler_found": "a pooler stands before PostgreSQL that the address does not mention",
    "clock.jumped": "the host's clock went backwards; leases are kept for a while",
    "sql.function_unreadable": "a field's database function cannot be read; the field is null, and cannot be written",
    "sql.validation_unreadable": "what is kept about a field's values cannot be read; the field cannot be written",
    "service.undescribed": "a service could not say what it can do; documents leave it out",
    "script.output": "what a script printed",
    "script.failed": "a script failed, or refused with a status of its own",
    "script.not_run": "a call went on without a script, whose linked text cannot be read",
    "script.not_recorded": "the store refused counts or events of scripts; they are lost",
    "script.not_captured": "an event that is watched is too large to be kept",
    "script.method_ignored": "a script changed the method of a request, which has no effect",
    "queue.event_not_kept": "a queued event script could not be stored; the answer was not changed by it",
    "outgoing.option_ignored": "a script gave an option for an outgoing call that is not known",
    "library": "a line of a library",
}
"""Name and meaning of every event; a test compares them with the code."""

_CREDENTIAL: Final = re.compile(
    r"passw|secret|token|api[-_]?key|authorization|cookie|credential|payload|session_id|private", re.IGNORECASE
)
_HIDDEN: Final = "***"
_FIRST: Final = ("timestamp", "level", "event")


def set_up(form: Literal["text", "json"], level: Level = "info") -> None:
    """Send every event, and every line of a library that uses `logging`, to stderr in one form. Once per process."""
    least = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    render = _json_line if form == "json" else _text_line
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _name_library, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(least, logging.WARNING), force=True)


def redact(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide what stands under the name of a credential, however deep."""
    return {name: value if name in _FIRST else _redacted(name, value) for name, value in event.items()}


def _redacted(name: str, value: Any) -> Any:
    if _CREDENTIAL.search(name):
        return _HIDDEN
    if isinstance(value, Mapping):
        return {str(key): _redacted(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted("", item) for item in value]
    return value


def _name_library(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A library's line has no name of ours: its text becomes a value."""
    return {**event, "event": "library", "message": event.get("event")}


def _json_line(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    ordered = {name: event[name] for name in _FIRST if name in event} | dict(event)
    return json.dumps(ordered, default=str, ensure_ascii=False)


def _text_line(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    """``2026-01-01T10:00:00Z info script.failed script=db.get error="no such row"``."""
    words = [str(event.get(name, "")) for name in _FIRST]
    words += [f"{name}={_plain(value)}" for name, value in event.items() if name not in _FIRST]
    return " ".join(words)


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if re.fullmatch(r"[^\s\"=]+", text) else json.dumps(text, ensure_ascii=False)
