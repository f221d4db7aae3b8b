"""What event scripts and script services check the same way: languages that are switched off, and queue options."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, TypeAlias

from reverie.errors import ScriptingDisabled
from reverie.events.identity import SETTING, check_policy
from reverie.jobs.connections import check_delay
from reverie.model import JSON, Script

MustPass: TypeAlias = "Callable[[Script], Awaitable[None]]"
"""Raises Conflict for a script that fails its fixtures, where its config wants them to pass."""
_DELAYS: Final = frozenset({"delay", "queued_delay"})


def refuse_disabled(disabled: Collection[str], language: str | None) -> None:
    """Raise ScriptingDisabled when *language*, or everything, is switched off on this instance."""
    if "all" in disabled:
        raise ScriptingDisabled
    if language is not None and language.lower() in disabled:
        raise ScriptingDisabled(language)


def check_queue_options(config: JSON) -> None:
    """Raise BadRequest when a config's ``delay`` is no seconds and no lookup, or its ``identity`` no policy."""
    for name, value in decoded_config(config).items():
        if name.lower() in _DELAYS:
            check_delay(value)
        elif name.lower() == SETTING:
            check_policy(value)


def decoded_config(config: JSON) -> Mapping[str, JSON]:
    """A config as a map, whether a map was sent or a text that holds one; else empty."""
    if isinstance(config, str):
        try:
            config = json.loads(config)
        except ValueError:
            return {}
    return config if isinstance(config, dict) else {}
