"""What a script may use, and what it may share a process with: the instance's rules, and what its own config says.

A script says it in its config, beside its queue options (docs/reference/sandbox.md):

    {"limits": {"wall": 5, "cpu": 2, "memory": 128, "output": 65536, "calls": 50, "hosts": ["api.example.test"]},
     "isolation": "script"}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

from reverie.errors import BadRequest, ScriptError
from reverie.model import JSON
from reverie.outgoing import HostPattern
from reverie.scripting.engine import Limits

Isolation = Literal["instance", "service", "script", "run"]
LEVELS: Final[tuple[Isolation, ...]] = get_args(Isolation)
"""Each keeps apart what the one before does, and more."""
LIMITS: Final = "limits"
ISOLATION: Final = "isolation"
_Seconds = Annotated[float, Meta(gt=0, le=10**9)]


class _Stated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits that a script may state, and within which bounds."""

    wall: _Seconds | None = None
    cpu: _Seconds | None = None
    memory: Annotated[int, Meta(ge=16, le=1024**2)] | None = None
    output: Annotated[int, Meta(ge=0, le=1024**3)] | None = None
    calls: Annotated[int, Meta(ge=0, le=10**9)] | None = None
    hosts: list[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one run may do.

    Attributes:
        hosts: those that it may call; None for all that the instance allows.
    """

    limits: Limits
    isolation: Isolation
    hosts: tuple[HostPattern, ...] | None = None


def allowance_of(config: Mapping[str, JSON], instance: Allowance, *, timeout: float | None) -> Allowance:
    """What a script may do.

    Args:
        timeout: seconds that its job may run, 0 without end; None for a script that is no job.

    Raises:
        ScriptError: what is stored about it is nothing that could be kept.
    """
    limits = instance.limits
    if timeout is not None:
        # A job may take longer than a call, and its processor with it, unless the script itself says otherwise.
        longest = timeout or float("inf")
        limits = replace(limits, wall=longest, cpu=max(limits.cpu, longest))
    own = {name.lower(): value for name, value in config.items()}
    if LIMITS not in own and ISOLATION not in own:
        return replace(instance, limits=limits)
    try:
        stated, level = _read(own)
    except ValueError as error:
        raise ScriptError(str(error)) from error
    hosts = instance.hosts if stated.hosts is None else tuple(map(HostPattern.parse, stated.hosts))
    return Allowance(
        limits=Limits(
            wall=limits.wall if stated.wall is None else min(stated.wall, limits.wall if timeout else stated.wall),
            cpu=limits.cpu if stated.cpu is None else stated.cpu,
            memory=limits.memory if stated.memory is None else stated.memory,
            output=limits.output if stated.output is None else stated.output,
            calls=limits.calls if stated.calls is None else stated.calls,
        ),
        isolation=LEVELS[max(LEVELS.index(instance.isolation), LEVELS.index(level or instance.isolation))],
        hosts=hosts,
    )


def check_limits(config: Mapping[str, JSON]) -> None:
    """Refuse limits and levels that cannot be kept.

    Raises:
        BadRequest
    """
    try:
        _read({name.lower(): value for name, value in config.items()})
    except ValueError as error:
        raise BadRequest(str(error)) from error


def hosts_of(names: Sequence[str]) -> tuple[HostPattern, ...] | None:
    """The hosts that an instance lets scripts call; None for all where none is named."""
    return tuple(map(HostPattern.parse, names)) or None


def _read(config: Mapping[str, JSON]) -> tuple[_Stated, Isolation | None]:
    """Raises ValueError that says what is wrong."""
    level = config.get(ISOLATION)
    if level in (None, ""):
        level = None
    elif level not in LEVELS:
        raise ValueError(f"Invalid isolation: {level!r} is none of {', '.join(LEVELS)}.")
    try:
        stated = msgspec.convert(config.get(LIMITS) or {}, _Stated, strict=False)
        for host in stated.hosts or ():
            HostPattern.parse(host)
    except (msgspec.ValidationError, ValueError) as error:
        raise ValueError(f"Invalid limits: {error}. There are wall, cpu, memory, output, calls and hosts.") from error
    return stated, next((known for known in LEVELS if known == level), None)
