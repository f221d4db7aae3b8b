"""What an attempt is, and the attempts that are the same in every language: calls to where none may go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LEVELS: Final = ("instance", "service", "script", "run")
"""Of isolation, each stronger than the one before."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way out.

    Attributes:
        name: what it tries, for the table.
        text: the body of a function with ``t``, a map of targets; it returns something true if it got out.
        find: the text of a run of another script, later, which returns something true if it meets what `text` left, or
            what `text` got to know of it. None: everything happens in one run.
        by: whose run that is: another service's, another script's of the same service, or the script's own next.
        levels: those that promise to stop it.
        alone: it may end or spoil its process, so it has a run for itself.
    """

    name: str
    text: str
    find: str | None = None
    by: str = "service"
    levels: tuple[str, ...] = LEVELS
    alone: bool = False


def left(name: str, text: str, find: str, *, by: str = "service", always: bool = False) -> Attempt:
    """An attempt on a later run. `always`: stopped at every level; else only where the two share no process."""
    first = {"service": 1, "script": 2, "own": 3}[by]
    return Attempt(name, text, find, by, LEVELS if always else LEVELS[first:])


PRIVATE: Final = {
    "loopback": "http://127.0.0.1:{port}/",
    "loopback by name": "http://localhost:{port}/",
    "loopback as one number": "http://2130706433:{port}/",
    "loopback in octal": "http://0177.0.0.1:{port}/",
    "loopback in hexadecimal": "http://0x7f.0.0.1:{port}/",
    "loopback, shortened": "http://127.1:{port}/",
    "every address of this host": "http://0.0.0.0:{port}/",
    "loopback over IPv6": "http://[::1]:{port}/",
    "loopback mapped into IPv6": "http://[::ffff:127.0.0.1]:{port}/",
    "loopback in an IPv6 of 6to4": "http://[2002:7f00:1::]:{port}/",
    "a private network": "http://10.0.0.1/",
    "the network of a provider": "http://100.64.0.1/",
    "a private network over IPv6": "http://[fc00::1]/",
}
"""Addresses that REVERIE_SCRIPT_EGRESS=public refuses."""
METADATA: Final = {
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "metadata as one number": "http://2852039166/",
    "metadata mapped into IPv6": "http://[::ffff:169.254.169.254]/",
    "metadata over IPv6": "http://[fd00:ec2::254]/",
    "metadata of another cloud": "http://100.100.100.200/",
    "link-local over IPv6": "http://[fe80::1]/",
}
"""Addresses that are refused whatever is set."""
REFUSED: Final = "not allowed by this instance|Invalid IPv4 address"
"""What the answer to a refused call says; a call that merely finds nobody says something else."""


def calls(ask: Callable[[str], str]) -> list[Attempt]:
    """Calls through the platform to every address of the two; *ask* makes the text for one."""
    urls = {f"the platform's call to {name}": url for name, url in {**PRIVATE, **METADATA}.items()}
    return [Attempt(name, ask(url)) for name, url in urls.items()]
