"""What scripts see of the platform: its settings, their own store, and for administrators the runtime."""

from __future__ import annotations

from importlib.metadata import version

from reverie.config import Settings
from reverie.events.limits import Allowance, hosts_of
from reverie.events.runs import ScriptRuns
from reverie.model import JSON
from reverie.scripting.engine import Limits
from reverie.store.scratch import get_value, set_value
from reverie.store.store import Store


class StoredScratch:
    """``platform.store`` in the platform's own database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, script: str, name: str) -> JSON:
        return (await get_value(self._store, script, name))[1]

    async def set(self, script: str, name: str, value: JSON) -> None:
        await set_value(self._store, script, name, value)


def visible_settings(settings: Settings) -> dict[str, JSON]:
    """``platform.config``: what is not secret and scripts may know."""
    return {
        "version": version("reverie"),
        "api_version": "2.0",
        "always_wrap_resources": True,
        "resources_wrapper": "resource",
        "default_cache_ttl": 18000,
        "storage_path": "",
        "script_egress": settings.script_egress,
        "db": {"date_format": None, "time_format": None, "datetime_format": None, "timestamp_format": None},
    }


def allowance(settings: Settings) -> Allowance:
    """What scripts may do that say nothing of it themselves."""
    limits = Limits(
        wall=settings.script_wall,
        cpu=settings.script_cpu,
        memory=settings.script_memory,
        output=settings.script_output,
        calls=settings.script_calls,
    )
    return Allowance(limits=limits, isolation=settings.script_isolation, hosts=hosts_of(settings.script_hosts))


def runtime(runs: ScriptRuns, settings: Settings) -> dict[str, JSON]:
    """What runs scripts here, and what holds them, for administrators."""
    facts = {
        name: {"missing": engine.missing}
        if engine.missing
        else {key: _plain(value) for key, value in engine.facts().items()}
        for name, engine in runs.engines.items()
    }
    engines: JSON = {name: dict(known) for name, known in facts.items()}
    limits = runs.allowance.limits
    return {
        "isolation": runs.allowance.isolation,
        "sandbox": settings.script_sandbox,
        "egress": settings.script_egress,
        "sockets": settings.script_sockets,
        "hosts": list(settings.script_hosts),
        "limits": {
            "wall": limits.wall,
            "cpu": limits.cpu,
            "memory": limits.memory,
            "output": limits.output,
            "calls": limits.calls,
        },
        "engines": engines,
    }


def _plain(value: object) -> JSON:
    return value if isinstance(value, bool | int | float | str | list | dict | None) else str(value)
