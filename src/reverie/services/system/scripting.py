"""What event scripts and script services check the same way: languages switched off, queue options, linked texts."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, TypeAlias

from reverie.errors import BadRequest, ScriptingDisabled
from reverie.events.identity import SETTING, check_policy
from reverie.events.limits import check_limits
from reverie.jobs.connections import check_delay
from reverie.model import JSON, Script
from reverie.scripting.library import check_link

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
    """Raise BadRequest for a ``delay`` that is no seconds and no lookup, an ``identity`` that is no policy, or limits
    or an isolation that cannot be kept."""
    check_limits(decoded_config(config))
    for name, value in decoded_config(config).items():
        if name.lower() in _DELAYS:
            check_delay(value)
        elif name.lower() == SETTING:
            check_policy(value)


def check_linked(values: Mapping[str, JSON]) -> None:
    """Raise BadRequest when the text of a script is linked to what is not there, or to a path that is none."""
    scm = {name: values.get(name) for name in ("scm_repository", "scm_reference")}
    wrong = check_link(values.get("storage_service_id"), values.get("storage_path"), scm)
    if wrong is not None:
        raise BadRequest(wrong)


def decoded_config(config: JSON) -> Mapping[str, JSON]:
    """A config as a map, whether a map was sent or a text that holds one; else empty."""
    if isinstance(config, str):
        try:
            config = json.loads(config)
        except ValueError:
            return {}
    return config if isinstance(config, dict) else {}
