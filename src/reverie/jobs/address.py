"""Where a Redis or Valkey is, and how to get in: read from one URL, whose secrets never show.

    redis://[[user]:password@]host[:6379][/db]              rediss://... the same over TLS
    unix://[[user]:password@]/path/of/socket[?db=N]
    redis+sentinel://[[user]:password@]host[:26379][,host...]/service[/db]    rediss+sentinel://...

Our own reader, because redis-py's knows no Sentinel and finds out about mistakes only when it connects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from reverie.errors import meant

SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
_TLS_OPTIONS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")
_REDIS_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_SHAPE: Final = "expected {scheme}://[[user]:password@]{rest}; write / @ : # and ? of a password as %2F %40 %3A %23 %3F"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """One Redis, or the Sentinels that know it.

    Attributes:
        hosts: names and ports, of Sentinels where there is a `service`; empty where there is a `path`.
        path: of a UNIX socket.
        service: what Sentinel calls the servers it watches.
        db: tells instances apart that share a server. Nothing is stored, so none is ever selected.
        tls_files: ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile`` and their paths, as far as given.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls_files: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """The URL without credentials, for people."""
        if self.path:
            return f"unix://{self.path}"
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        secure = "rediss" if self.tls else "redis"
        return f"{secure}+sentinel://{hosts}/{self.service}" if self.service else f"{secure}://{hosts}"


def parse_address(url: str) -> RedisAddress:
    """
    Raises:
        ValueError: what is wrong, in words that show nothing of the URL but its scheme and its options' names.
    """
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES or "://" not in url:
        raise ValueError(f"expected an address that begins with {', '.join(f'{one}://' for one in SCHEMES)}")
    rest = {"unix": "/path/of/socket"}.get(scheme, "host:port")
    if scheme.endswith("+sentinel"):
        rest = "host:port,host:port/service"
    shape = ValueError(_SHAPE.format(scheme=scheme, rest=rest))
    try:
        split = urlsplit(url.strip())
    except ValueError:
        raise shape from None
    if split.fragment:
        raise shape
    options = _options(split, scheme)
    username, password, place = _credentials(split)
    found: dict[str, object] = {}
    database = options.get("db", "")
    try:
        if scheme == "unix":
            found["path"] = unquote(split.path)
            if place or len(split.path) < 2:
                raise shape
        else:
            sentinel = scheme.endswith("+sentinel")
            found["hosts"] = _hosts(place, _SENTINEL_PORT if sentinel else _REDIS_PORT)
            parts = [unquote(part) for part in split.path.split("/")[1:] if part]
            if sentinel:
                found["service"] = parts.pop(0)
            elif "," in place:
                raise ValueError(f"only redis+sentinel:// takes several hosts, not {scheme}://")
            database = parts.pop(0) if parts else database
            if parts:
                raise shape
    except (IndexError, _NoHost):
        raise shape from None
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError("expected a number as the database of the address")
    return RedisAddress(
        **found,  # type: ignore[arg-type]  # path, hosts and service, each of its own type
        db=int(database or 0),
        tls=scheme.startswith("rediss"),
        username=username,
        password=password,
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        tls_files=tuple((name, options[name]) for name in _TLS_OPTIONS if name in options),
    )


class _NoHost(Exception):
    pass


def _options(split: SplitResult, scheme: str) -> dict[str, str]:
    known = ["db"]
    known += _TLS_OPTIONS if scheme.startswith("rediss") else ()
    known += _SENTINEL_OPTIONS if scheme.endswith("+sentinel") else ()
    options = dict(parse_qsl(split.query, keep_blank_values=True))
    for name in options:
        if name not in known:
            raise ValueError(f"an address of {scheme}:// has no option {name!r}{meant(name, known)}")
    return options


def _credentials(split: SplitResult) -> tuple[str | None, str | None, str]:
    """User, password, and the rest of what stands before the path."""
    secrets, at, place = split.netloc.rpartition("@")
    if not at:
        return None, None, place
    username, _, password = secrets.partition(":")
    return unquote(username) or None, unquote(password) or None, place


def _hosts(text: str, port: int) -> tuple[tuple[str, int], ...]:
    return tuple(_host(one.strip(), port) for one in text.split(","))


def _host(text: str, port: int) -> tuple[str, int]:
    if text.startswith("["):
        name, bracket, after = text[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise _NoHost
        given = after[1:]
    else:
        name, _, given = text.partition(":")
    if not name or (given and not (given.isascii() and given.isdigit() and 0 < int(given) < 65536)):
        raise _NoHost
    return name, int(given) if given else port
