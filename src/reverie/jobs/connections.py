"""Named queue connections, and what a script's options say about them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import msgspec
import structlog

from reverie.errors import BadRequest, UnknownConnection
from reverie.jobs.address import RedisAddress
from reverie.model import JSON

Driver: TypeAlias = Literal["database", "redis", "sync", "null"]

LONGEST_DELAY: Final = 10 * 365 * 86400.0
"""Seconds; a longer delay is cut to this, so that due times stay dates."""
_TOKEN = re.compile(r"\{[^{}\s]+\}")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """One queue connection.

    Attributes:
        driver: ``database`` and ``redis`` keep jobs for a worker, in the same store; ``redis`` wakes workers through a
            server that all hosts reach. ``sync`` runs jobs at once, ``null`` discards them.
        queue: where jobs go that name no queue.
        address: of that server; None for the other drivers.
    """

    name: str
    driver: Driver
    queue: str = "default"
    address: RedisAddress | None = None


STANDARD: Final = (
    ConnectionSettings(name="database", driver="database"),
    ConnectionSettings(name="sync", driver="sync"),
    ConnectionSettings(name="null", driver="null"),
)
"""The connections of an instance whose settings name none."""


class Connections:
    """The configured connections by name.

    Args:
        default: the one of jobs that name none; it need not exist until a job needs it.
    """

    def __init__(self, settings: Sequence[ConnectionSettings] = STANDARD, *, default: str = "database") -> None:
        self._by_name = {one.name: one for one in settings}
        self.default = default

    def names(self) -> list[str]:
        return list(self._by_name)

    def find(self, name: str | None) -> ConnectionSettings:
        """The connection called *name*; the default one for None or ``""``.

        Raises:
            UnknownConnection
        """
        wanted = name or self.default
        try:
            return self._by_name[wanted]
        except KeyError:
            raise UnknownConnection(wanted) from None

    def first_queue(self, name: str | None) -> str:
        """The queue that a worker of *name* serves before all others; of the default connection for None."""
        known = self._by_name.get(name or self.default)
        return "default" if known is None else known.queue


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """What a script says about its jobs; None leaves it to the connection, or for `delay` to the worker."""

    connection: str | None = None
    queue: str | None = None
    delay: float | None = None


def normalise_options(config: JSON | Mapping[str, JSON]) -> QueueOptions:
    """Read ``connection``, ``queue`` and ``delay`` from a script's options, however they were written.

    Keys match in any case; ``QUEUED_CONNECTION``, ``QUEUED_QUEUE`` and ``QUEUED_DELAY`` are read where the short key is
    absent or empty. The options may be a map or its JSON text. A delay that is no number counts as none, with a
    warning: saving refuses those (`check_delay`), but a lookup may have put it there.
    """
    values = {str(key).lower(): value for key, value in _as_map(config).items()}

    def pick(key: str) -> JSON:
        value = values.get(key)
        return values.get(f"queued_{key}") if value is None or value == "" else value

    try:
        delay = parse_delay(pick("delay"))
    except ValueError:
        log.warning("queue.delay_ignored")
        delay = None
    return QueueOptions(connection=_as_name(pick("connection")), queue=_as_name(pick("queue")), delay=delay)


def parse_delay(value: JSON) -> float | None:
    """Seconds from a number or its text; None for none at all, and for 0 and below: due at once.

    Raises:
        ValueError: it is something else.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a delay is a number of seconds")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.copysign(LONGEST_DELAY, 1 if isinstance(value, int) and value > 0 else -1)
    if math.isnan(seconds):
        raise ValueError("a delay is a number of seconds")
    return min(seconds, LONGEST_DELAY) if seconds > 0 else None


def check_delay(value: JSON) -> None:
    """Refuse what can never become a delay; a lookup such as ``{slow}`` may.

    Raises:
        BadRequest
    """
    if isinstance(value, str) and _TOKEN.search(value):
        return
    try:
        parse_delay(value)
    except ValueError as error:
        raise BadRequest(f"Invalid queue delay: {value!r} is no number of seconds.") from error


def _as_map(config: JSON | Mapping[str, JSON]) -> Mapping[str, JSON]:
    if isinstance(config, str):
        try:
            config = msgspec.json.decode(config)
        except msgspec.DecodeError:
            return {}
    return config if isinstance(config, Mapping) else {}


def _as_name(value: JSON) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return str(value).strip() or None
