"""Scripts on a running instance, over HTTP: with an administrator's token, from whatever machine."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import click

from reverie.cli.scripts_folder import DEFAULTS, Kept, Kind, said
from reverie.model import JSON

if TYPE_CHECKING:
    import httpx2

F = TypeVar("F", bound=Callable[..., Any])

EVENT_SETTINGS: Final = (
    "type", "is_active", "allow_event_modification", "config", "storage_service_id", "storage_path", "scm_repository",
    "scm_reference",
)  # fmt: skip
SERVICE_SETTINGS: Final = ("type", "label", "description", "is_active")
_NOT_OF_CONFIG: Final = frozenset({"service_id", "content"})
PAGE: Final = 500
SECONDS: Final = 30.0
"""Time for one call."""

_url = click.option(
    "--url",
    envvar="REVERIE_URL",
    required=True,
    metavar="URL",
    help="The instance; else REVERIE_URL, as the start prints it.",
)
_token = click.option(
    "--token",
    envvar="REVERIE_ADMIN",
    required=True,
    metavar="TOKEN",
    help="An administrator's session token; else REVERIE_ADMIN, as the start prints it.",
)


def at_instance(function: F) -> F:
    """The options that say which instance, and as whom."""
    return _url(_token(function))


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """A script as the instance has it; *id* is that of a service."""

    kept: Kept
    id: int | None = None


class Remote:
    """An instance.

    Raises:
        ClickException: by every call: it cannot be reached, or says no; with its own reason.
    """

    def __init__(self, url: str, token: str) -> None:
        import httpx2

        self.url = url.rstrip("/")
        self.http: httpx2.Client = httpx2.Client(
            base_url=self.url,
            headers={"X-DreamFactory-Session-Token": token, "Accept": "application/json"},
            timeout=SECONDS,
        )

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    # -- reading

    def scripts(self) -> dict[str, There]:
        """Every event script and script service, by key."""
        found = [_event_script(row) for row in self._pages("system/event_script?order=name")]
        types = {str(row["name"]) for row in self._rows("system/service_type?group=Script")}
        found += [_service(row) for row in self._pages("system/service?order=id") if row.get("type") in types]
        return {one.kept.key: one for one in found}

    def script(self, one: Kept) -> There | None:
        """The script of that kind and name, if the instance has it."""
        if one.kind == "events":
            row = self._ask("GET", f"system/event_script/{_spelled(one.name)}", missing=True)
            return None if row is None else _event_script(row)
        rows = self._rows(f"system/service?filter={quote(f'name={_quoted(one.name)}')}")
        return _service(rows[0]) if rows else None

    # -- changing

    def save(self, one: Kept, there: There | None) -> None:
        """Create it, or make what is there the same."""
        settings = {**DEFAULTS, **one.settings}
        if one.kind == "events":
            given = {name: settings.get(name) for name in EVENT_SETTINGS}
            self._ask("POST", f"system/event_script/{_spelled(one.name)}", {**given, "content": one.text})
            return
        given = {name: settings.get(name) for name in SERVICE_SETTINGS}
        given["label"] = given["label"] or one.name
        before: Mapping[str, JSON] = {} if there is None else _config_of(there.kept)
        options = _config_of(one)
        # What the folder does not name any more goes back to its default.
        given["config"] = {**dict.fromkeys(before), **options, "content": one.text}
        if there is None:
            self._ask("POST", "system/service", {"resource": [{"name": one.name, **given}]})
        else:
            self._ask("PATCH", f"system/service/{there.id}", given)

    def delete(self, there: There) -> None:
        place = f"event_script/{_spelled(there.kept.name)}" if there.id is None else f"service/{there.id}"
        self._ask("DELETE", f"system/{place}")

    def check(self, one: Kept) -> Sequence[Mapping[str, JSON]]:
        """What the language's parser says of its text."""
        answer = self._ask("POST", "system/script_check", {"type": one.settings.get("type"), "content": one.text})
        found = (answer or {}).get("diagnostics")
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []

    # -- asking

    def _pages(self, path: str) -> Iterator[dict[str, JSON]]:
        """Every record; one answer never holds more than `PAGE`."""
        for number in itertools.count():
            rows = self._rows(f"{path}&limit={PAGE}&offset={number * PAGE}")
            yield from rows
            if len(rows) < PAGE:
                return

    def _rows(self, path: str) -> list[dict[str, JSON]]:
        rows = (self._ask("GET", path) or {}).get("resource")
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []

    def _ask(self, verb: str, path: str, body: JSON = None, *, missing: bool = False) -> dict[str, JSON] | None:
        """The answer; None for a 404 where one may be *missing*."""
        with self.reached():
            answer = (
                self.http.request(verb, f"/api/v2/{path}", json=body)
                if body
                else self.http.request(verb, f"/api/v2/{path}")
            )
        if answer.status_code == 404 and missing:
            return None
        if answer.status_code >= 400:
            raise click.ClickException(f"{verb} {path}: {answer.status_code} {reason_of(answer)}")
        content = answer.json() if answer.content else {}
        return content if isinstance(content, dict) else {}

    @contextlib.contextmanager
    def reached(self) -> Iterator[None]:
        """What the library says of a call that did not come through, in one sentence."""
        import httpx2

        try:
            yield
        except httpx2.HTTPError as error:
            raise click.ClickException(f"{self.url} cannot be reached: {error or type(error).__name__}") from error
        except httpx2.InvalidURL as error:
            raise click.ClickException(f"{self.url!r} is no URL: {error}") from error


def reason_of(answer: httpx2.Response) -> str:
    try:
        told = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
    hint = " REVERIE_ADMIN must be the session token of an administrator." if answer.status_code in (401, 403) else ""
    return f"{told}{hint}"


def _event_script(row: Mapping[str, JSON]) -> There:
    return There(kept=_kept("events", row, row.get("content"), {name: row.get(name) for name in EVENT_SETTINGS}))


def _service(row: Mapping[str, JSON]) -> There:
    config = row.get("config")
    config = config if isinstance(config, dict) else {}
    settings = {name: row.get(name) for name in SERVICE_SETTINGS}
    if settings["label"] == row.get("name"):
        settings["label"] = None
    options = {name: value for name, value in config.items() if name not in _NOT_OF_CONFIG}
    found = row.get("id")
    kept = _kept("services", row, config.get("content"), {**settings, **options})
    return There(kept=kept, id=found if isinstance(found, int) else None)


def _config_of(one: Kept) -> dict[str, JSON]:
    """The settings of a service's own type."""
    return {name: value for name, value in one.settings.items() if name not in SERVICE_SETTINGS}


def _kept(kind: Kind, row: Mapping[str, JSON], text: JSON, settings: Mapping[str, JSON]) -> Kept:
    return Kept(kind=kind, name=str(row["name"]), text=str(text or ""), settings=said(settings))


def _spelled(name: str) -> str:
    return quote(name, safe="")


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
