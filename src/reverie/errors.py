"""Every error that can leave Reverie, with its HTTP status.

    ReverieError 500
    ├── BadRequest 400
    │   └── BatchError 400, code 1000       some records of a batch failed
    ├── Unauthorized 401
    ├── Forbidden 403
    │   └── IdentityRevoked                 who queued a job may no longer make its call
    ├── NotFound 404
    ├── MethodNotAllowed 405
    ├── Conflict 409
    ├── TooLarge 413
    ├── KeyReused 422                       an idempotency key that stands for another call
    ├── LoopDetected 508                    calls nested too deeply, or a chain of jobs too long
    ├── NotSupported 501                    names what is missing
    ├── Unavailable 503                     may carry Retry-After
    │   ├── StoreUnavailable
    │   ├── QueueUnavailable
    │   └── ScriptsBusy                     too many runs wait for a place
    ├── UnknownConnection 500               a queue connection that nobody configured
    ├── LeaseLost 409                       a worker settles a job that is no longer its own, or its script calls on
    ├── SettingsError                       every mistake in the settings, at once; ends the start with exit 2
    └── ScriptError 500 or the script's own the script said no, or could not run
        ├── UnknownEngine                   no such language
        ├── EngineMissing 503               this machine lacks what runs the language
        ├── LinkedTextMissing               the file that holds the text cannot be read
        ├── ScriptingDisabled 503
        ├── CannotIsolate 503               this host cannot lock scripts in as it was told to
        ├── ScriptTimeout
        ├── ScriptCrashed                   the child ended without an answer
        └── ScriptLimit                     processor time, memory, output or calls beyond the limit

The message is for the client and says what to do; the cause stays in ``__cause__`` for the log.
Wire shape of an error: docs/reference/errors.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import ClassVar

from reverie.model import JSON, Response


class ReverieError(Exception):
    """Base of the tree.

    Attributes:
        status: HTTP status of the answer.
        code: ``error.code`` on the wire; the status unless the error says otherwise.
        context: ``error.context`` on the wire.
        headers: headers the answer carries, such as ``Retry-After``.
        bare: True for the small body of only ``code`` and ``message`` that some errors have on the wire.
    """

    status: int = 500
    bare: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: int | str | None = None,
        context: JSON = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code: int | str = self.status if code is None else code
        self.context = context
        self.headers = headers or {}

    def entry(self) -> dict[str, JSON]:
        """The error as it stands in an answer, also inside a batch."""
        if self.bare:
            return {"code": self.code, "message": self.message}
        return {"code": self.code, "context": self.context, "message": self.message, "status_code": self.status}

    def response(self) -> Response:
        """The answer that tells it."""
        return Response(status=self.status, content={"error": self.entry()}, headers=self.headers)


class BadRequest(ReverieError):
    status = 400


class BatchError(BadRequest):
    """Some records of a batch failed; ``context`` is ``{"error": [indexes], "resource": [...]}``."""

    def __init__(self, message: str, *, failed: Sequence[int], results: Sequence[JSON]) -> None:
        super().__init__(message, code=1000, context={"error": list(failed), "resource": list(results)})


class Unauthorized(ReverieError):
    status = 401


class Forbidden(ReverieError):
    status = 403


class IdentityRevoked(Forbidden):
    """Who queued a job may no longer make the call that queued it; its script wants that checked."""


class NotFound(ReverieError):
    status = 404


class MethodNotAllowed(ReverieError):
    status = 405


class Conflict(ReverieError):
    status = 409


class TooLarge(ReverieError):
    status = 413


class KeyReused(ReverieError):
    """An idempotency key that stands for another call; nothing was done."""

    status = 422

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was sent with another call before; take a new key for a new call.")


class LoopDetected(ReverieError):
    status = 508


class NotSupported(ReverieError):
    status = 501


class Unavailable(ReverieError):
    status = 503


class StoreUnavailable(Unavailable):
    """The platform's own database cannot be reached, or is busy for longer than a caller should wait."""


class QueueUnavailable(Unavailable):
    """The queue cannot be reached; nothing was taken and nothing was stored.

    Args:
        retry_after: seconds for ``Retry-After``; None where trying again would not help.
    """

    def __init__(
        self, message: str = "The queue cannot be reached. Try again in a moment.", *, retry_after: int | None = 2
    ) -> None:
        super().__init__(message, headers={} if retry_after is None else {"Retry-After": str(retry_after)})


class ScriptsBusy(Unavailable):
    """Too many runs wait for a place, or this one waited too long; nothing of the script was run."""

    def __init__(self, *, retry_after: int) -> None:
        super().__init__(
            f"All places for scripts are taken, so this one was not run. Try again in {retry_after} s.",
            headers={"Retry-After": str(retry_after)},
        )


class UnknownConnection(ReverieError):
    bare = True

    def __init__(self, name: str) -> None:
        super().__init__(f"The [{name}] queue connection has not been configured.")


class LeaseLost(ReverieError):
    """Another worker holds the job now, or may, or it was settled already; the result must be dropped."""

    status = 409


class SettingsError(ReverieError):
    """All mistakes of the settings, one per line."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = list(mistakes)


def meant(name: str, names: Sequence[str]) -> str:
    """``"; did you mean ...?"`` for a mistake in the settings; ``""`` where none of *names* is close."""
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]}?" if close else ""


class ScriptError(ReverieError):
    """A script said no, or could not run.

    Attributes:
        kind: the error's type in the script's language, such as ``TypeError``; ``""`` when there is none.
        line: line of the script text, counted from 1; None when unknown.
        column: character of that line, counted from 1; None when unknown, as always in PHP.
        excerpt: that line's text; ``""`` when unknown.
        source: the lines around it with that one marked; ``""`` when unknown.
        output: what the script had printed until then.
        script: its identifier; ``""`` when unknown.
        version: of its text; None when unknown.
    """

    script = ""
    version: int | None = None

    def __init__(
        self,
        message: str,
        *,
        status: int = 500,
        code: int | str | None = None,
        kind: str = "",
        line: int | None = None,
        column: int | None = None,
        excerpt: str = "",
        source: str = "",
        output: str = "",
    ) -> None:
        self.status = status
        super().__init__(message, code=code)
        self.kind = kind
        self.line = line
        self.column = column
        self.excerpt = excerpt
        self.source = source
        self.output = output

    def place(self) -> dict[str, JSON]:
        """Where it failed, for `context` of an administrator's answer."""
        return {
            "type": self.kind or type(self).__name__,
            "message": self.message,
            "script": self.script,
            "version": self.version,
            "line": self.line,
            "column": self.column,
            "excerpt": self.excerpt,
            "source": self.source,
        }


class UnknownEngine(ScriptError):
    bare = True

    def __init__(self, name: str) -> None:
        super().__init__(f"Unsupported script engine type '{name}'.")


class ScriptingDisabled(ScriptError):
    def __init__(self, language: str | None = None) -> None:
        what = f"Scripting with {language} is disabled" if language else "All scripting is disabled"
        super().__init__(f"{what} for this instance.", status=503)


class EngineMissing(ScriptError):
    """A language that Reverie runs, and this machine does not.

    Args:
        why: a sentence: what the machine lacks.
    """

    status = 503

    def __init__(self, language: str, why: str) -> None:
        super().__init__(f"Scripting with {language} is disabled for this instance. {why}", status=self.status)


class LinkedTextMissing(ScriptError):
    """The text of a script is linked to a file that cannot be read; the script was not run."""


class CannotIsolate(ScriptError):
    """Scripts are to be held in a way that this host cannot; they do not run in a weaker one."""

    status = 503

    def __init__(self, language: str, why: str) -> None:
        super().__init__(
            f"Scripts in {language} do not run on this machine: {why}. REVERIE_SCRIPT_SANDBOX=weak runs them"
            " all the same; docs/reference/sandbox.md says what that means.",
            status=self.status,
        )


class ScriptTimeout(ScriptError):
    """The script ran longer than it may; its child was killed."""


class ScriptCrashed(ScriptError):
    """The child ended without an answer: killed from outside, out of memory, or its pipe closed.

    A script that ends its own process (``process.exit(3)``) is a plain ScriptError: the script said so.
    """


class ScriptLimit(ScriptError):
    """The script used more processor time, memory, output, calls or processes than it may."""
