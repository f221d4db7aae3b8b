"""What a start does once, and what it prints."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from reverie.config import Settings


class Prepared(Protocol):
    """What a start found or made.

    Attributes:
        initialised: there is an administrator.
        setup_path: path of the one-time set-up link, when there is none.
        admin_password: only when it was made just now; it is shown once.
        api_key, admin_token: of the demo, for the line to paste.
        curls: lines to paste for the files and addresses that were given.
        notes: what else a person should know.
    """

    @property
    def initialised(self) -> bool: ...
    @property
    def setup_path(self) -> str | None: ...
    @property
    def admin_email(self) -> str | None: ...
    @property
    def admin_password(self) -> str | None: ...
    @property
    def api_key(self) -> str | None: ...
    @property
    def admin_token(self) -> str | None: ...
    @property
    def curls(self) -> Sequence[str]: ...
    @property
    def notes(self) -> Sequence[str]: ...


def lines(settings: Settings, prepared: Prepared, *, worker: str) -> Iterator[str]:
    """The start in plain lines; what can be pasted stands on a line of its own, without decoration.

    Args:
        worker: what serves the queues, in words.
    """
    url = settings.address
    yield f"Reverie answers on {url}"
    yield f"data: {settings.data_dir}"
    yield f"worker: {worker}"
    if prepared.admin_password is not None:
        yield f"administrator: {prepared.admin_email} with password {prepared.admin_password} (shown this once)"
    if prepared.setup_path is not None:
        yield "There is no administrator yet. This link makes one, once:"
        yield url + prepared.setup_path
    yield from prepared.notes
    if prepared.api_key is not None:
        names = {"REVERIE_URL": url, "REVERIE_KEY": prepared.api_key, "REVERIE_ADMIN": prepared.admin_token}
        yield "To try it, paste:"
        yield "export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in names.items() if value)
    yield from prepared.curls
