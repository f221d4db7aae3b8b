"""The guarded HTTP client: every call to elsewhere passes here.

An address is tested when the connection is made, after the name was resolved, and again for every redirect, so neither
a name that resolves to something else the second time nor a redirect gets around the rule. Link-local and metadata
addresses are refused always; `egress` says what else is. A script may be held to some hosts besides, by their names.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import httpcore2
import httpx2
import structlog

from reverie.model import JSON

Egress = Literal["any", "public", "none"]

TIMEOUT = 300.0
"""Seconds a call may take unless the script says otherwise."""
MOST_BYTES = 64 * 1024 * 1024
"""Largest answer that is read."""
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16", "fe80::/10",  # link-local, where most clouds have their metadata
        "fd00:ec2::254/128", "fd20:ce::254/128",  # the same over IPv6
        "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32",  # and where some have it instead
    )
)  # fmt: skip
_HOLDING_IPV4 = tuple(
    (ipaddress.IPv6Network(text), shift)
    for text, shift in (
        ("::ffff:0:0/96", 0), ("::/96", 0), ("64:ff9b::/96", 0), ("64:ff9b:1::/96", 0), ("2002::/16", 80),
    )
)  # fmt: skip
"""IPv6 networks whose addresses stand for an IPv4 address, and the bits behind it."""
_HOSTS = "reverie_hosts"
_KNOWN_OPTIONS = {
    "CURLOPT_TIMEOUT",
    "CURLOPT_CONNECTTIMEOUT",
    "CURLOPT_USERPWD",
    "CURLOPT_HTTPHEADER",
    "CURLOPT_SSL_VERIFYPEER",
}

log = structlog.get_logger()


class AddressRefused(httpcore2.ConnectError):
    """The rule of the instance forbids this address."""


class HostRefused(httpx2.RequestError):
    """The script may not call this host."""


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A host that a script may call.

    Attributes:
        name: in lower case; what follows ``*.`` where `below`.
        below: all names below that one, and not it.
        port: None for every one.
    """

    name: str
    below: bool = False
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> HostPattern:
        """Read ``api.example.test``, ``*.example.test``, ``10.0.0.5:8080`` or ``[::1]:8080``.

        Raises:
            ValueError: it is none of these.
        """
        found = re.fullmatch(r"(\*\.)?([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?", text.strip().lower())
        if found is None or (found[3] and not 0 < int(found[3]) < 65536):
            raise ValueError(f"{text!r} is no host such as api.example.test, *.example.test or 10.0.0.5:8080")
        return cls(found[2].strip("[]").rstrip("."), bool(found[1]), int(found[3]) if found[3] else None)

    def fits(self, host: str, port: int) -> bool:
        host = host.lower().rstrip(".")
        named = host.endswith("." + self.name) if self.below else host == self.name
        return named and self.port in (None, port)


def allowed(address: str, egress: Egress) -> bool:
    """Whether a connection to an IP address may be made. What stands for another address is judged as that, too."""
    ip = ipaddress.ip_address(address.split("%")[0])
    return all(_allowed(one, egress) for one in (ip, *_inside(ip)))


def _inside(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 address that an IPv6 address stands for, if it does; ``::`` and ``::1`` are themselves."""
    if ip.version == 4 or int(ip) < 2:
        return []
    return [ipaddress.IPv4Address(int(ip) >> shift & 0xFFFFFFFF) for net, shift in _HOLDING_IPV4 if ip in net]


def _allowed(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, egress: Egress) -> bool:
    if egress == "none" or any(ip in network for network in _NEVER if ip.version == network.version):
        return False
    if egress == "any":
        return True
    if isinstance(ip, ipaddress.IPv6Address) and any(ip in net for net, _ in _HOLDING_IPV4[:1]):
        return True  # judged by what it stands for
    return ip.is_global and not ip.is_multicast


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    def __init__(self, egress: Egress) -> None:
        self._egress: Egress = egress
        self._inner = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is the base class's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore2.ConnectError(f"the name {host!r} cannot be resolved") from error
        addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
        permitted = [address for address in addresses if allowed(address, self._egress)]
        if not permitted:
            raise AddressRefused(f"calls from scripts to {host!r} are not allowed by this instance")
        problem: Exception | None = None
        for address in permitted:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                problem = error
        raise problem or httpcore2.ConnectError(f"{host!r} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is the base class's
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise AddressRefused("UNIX sockets are not allowed")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Outgoing:
    """Calls for scripts. One per process; the connections are kept."""

    def __init__(self, egress: Egress = "any") -> None:
        self._egress: Egress = egress
        self._clients: dict[bool, httpx2.AsyncClient] = {}

    def _client(self, *, verify: bool) -> httpx2.AsyncClient:
        if verify not in self._clients:
            transport = httpx2.AsyncHTTPTransport(verify=verify, trust_env=False)
            context = httpx2.create_ssl_context(verify=verify, trust_env=False)
            transport._pool = httpcore2.AsyncConnectionPool(
                ssl_context=context,
                max_connections=100,
                max_keepalive_connections=20,
                keepalive_expiry=5.0,
                network_backend=_GuardedBackend(self._egress),
            )
            self._clients[verify] = httpx2.AsyncClient(
                transport=transport,
                follow_redirects=True,
                trust_env=False,
                event_hooks={"request": [_check_host]},  # asked for each redirect as well
            )
        return self._clients[verify]

    async def call(
        self,
        verb: str,
        url: str,
        payload: JSON,
        options: Mapping[str, JSON],
        *,
        hosts: tuple[HostPattern, ...] | None = None,
    ) -> dict[str, JSON]:
        """Call an address; never raises for what the other side or the network does.

        Args:
            payload: a text goes out as it is; a structure as JSON.
            options: ``headers`` (a map, or a list of ``"Name: value"``), ``parameters`` (appended to the query), and
                ``CURLOPT_TIMEOUT``, ``CURLOPT_CONNECTTIMEOUT``, ``CURLOPT_USERPWD``, ``CURLOPT_HTTPHEADER``,
                ``CURLOPT_SSL_VERIFYPEER``; others are ignored with a warning.
            hosts: those that may be called; None for all.

        Returns:
            The result map of a script: ``status_code``, ``content``, ``content_type``, ``format``, ``headers``.
        """
        headers = headers_of(options)
        body: bytes | None = None
        if isinstance(payload, str):
            body = payload.encode()
        elif payload is not None:
            body = json.dumps(payload).encode()
            headers.setdefault("Content-Type", "application/json")
        _warn_of_unknown(options)
        verify = options.get("CURLOPT_SSL_VERIFYPEER") not in (False, 0, "0", "false")
        user, _, password = str(options.get("CURLOPT_USERPWD") or "").partition(":")
        longest = _seconds(options.get("CURLOPT_TIMEOUT"), TIMEOUT)
        timeout = httpx2.Timeout(longest, connect=_seconds(options.get("CURLOPT_CONNECTTIMEOUT"), TIMEOUT))
        parameters = options.get("parameters")
        try:
            async with asyncio.timeout(longest):  # of the whole; the client's own count anew with every byte
                response, text = await self._exchange(
                    self._client(verify=verify),
                    verb,
                    httpx2.URL(url).copy_merge_params(cast("Any", parameters)) if isinstance(parameters, dict) else url,
                    content=body,
                    headers=headers,
                    auth=(user, password) if user else None,
                    timeout=timeout,
                    extensions={_HOSTS: hosts},
                )
        except TimeoutError:
            return _failure(504, f"{verb} {url}: no whole answer within {longest:g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL, httpcore2.ConnectError, LookupError, ValueError) as error:
            timed_out = isinstance(error, httpx2.TimeoutException)
            return _failure(504 if timed_out else 502, f"{verb} {url}: {error or type(error).__name__}")
        if text is None:
            return _failure(502, f"{verb} {url}: the answer is larger than {MOST_BYTES} bytes")
        if response.status_code >= 300:
            return _failure(response.status_code, text)
        return {
            "status_code": response.status_code,
            "content": _decoded(text),
            "content_type": response.headers.get("content-type"),
            "format": 201,
            "headers": dict(response.headers),
        }

    @staticmethod
    async def _exchange(
        client: httpx2.AsyncClient, verb: str, url: httpx2.URL | str, **more: Any
    ) -> tuple[httpx2.Response, str | None]:
        """The answer and its text; None for a text that is too large, of which no more is read."""
        async with client.stream(verb, url, **more) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    return response, None
            return response, bytes(body).decode(response.charset_encoding or "utf-8", "replace")

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()


async def _check_host(request: httpx2.Request) -> None:
    """
    Raises:
        HostRefused
    """
    hosts: tuple[HostPattern, ...] | None = request.extensions.get(_HOSTS)
    port = request.url.port or (443 if request.url.scheme == "https" else 80)
    if hosts is not None and not any(host.fits(request.url.host, port) for host in hosts):
        raise HostRefused(
            f"this script may not call {request.url.host!r}: its limits name other hosts", request=request
        )


def _decoded(text: str) -> JSON:
    try:
        return cast("JSON", json.loads(text))
    except (ValueError, RecursionError):
        return text


def _failure(status: int, message: str) -> dict[str, JSON]:
    error: JSON = {"code": status, "context": None, "message": message, "status_code": status}
    return {"status_code": status, "content": {"error": error}, "content_type": None, "format": 201, "headers": {}}


def headers_of(options: Mapping[str, JSON]) -> dict[str, str]:
    """The headers that a script gave for a call."""
    headers: dict[str, str] = {}
    for given in (options.get("headers"), options.get("CURLOPT_HTTPHEADER")):
        if isinstance(given, dict):
            headers.update({str(name): str(value) for name, value in given.items()})
        elif isinstance(given, list):
            for line in given:
                name, _, value = str(line).partition(":")
                headers[name.strip()] = value.strip()
    return headers


def _seconds(value: JSON, otherwise: float) -> float:
    try:
        seconds = float(str(value))
    except (TypeError, ValueError):
        return otherwise
    return seconds if seconds > 0 else otherwise


def _warn_of_unknown(options: Mapping[str, JSON]) -> None:
    unknown = [name for name in options if name.startswith("CURLOPT_") and name not in _KNOWN_OPTIONS]
    if unknown:
        log.warning("outgoing.option_ignored", options=unknown)
