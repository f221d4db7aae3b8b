"""What need not be sent: a body that the client has, and what compression takes off.

An ETag is a hash over the very bytes that this caller would get, made after access was decided and the answer was: it
saves the way, not the work, and nobody learns from it what he may not see. Answers are private: no cache between may
keep them, and the client's own asks each time. `Vary` is not needed for that: whatever a client kept is compared with
the very bytes that it would get now.

Compression beside a secret can tell the secret to who can make the client ask (BREACH): so answers of `system` and
`user`, which hold keys and tokens, are never compressed, nor is any answer to HTTP Basic, which browsers send for
other sites' pages too.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

from reverie.web.responses import Headers
from reverie.web.streams import Stream

SMALLEST: Final = 1024
"""Bytes of a body below which compression is not worth its time."""
IN_THREAD: Final = 64 * 1024
"""Bytes from which on a body is compressed beside the event loop."""
LEVEL: Final = 4
_GZIP: Final = 16 + zlib.MAX_WBITS
_SECRET: Final = frozenset({"system", "user"})
_KINDS: Final = (b"application/json", b"application/xml", b"text/")
_PRIVATE: Final = (b"cache-control", b"private, no-cache")
_USUAL: Final = 3
"""Headers of an answer whose service gave none."""
_OWN: Final = frozenset({b"etag", b"cache-control", b"vary"})
_NOT_WITH_304: Final = frozenset({b"content-length", b"content-type", b"content-disposition"})


def tagged(
    status: int, head: Headers, body: bytes, headers: Mapping[str, str], service: str
) -> tuple[int, Headers, bytes]:
    """The answer to a GET with its ETag, or 304 when the client has it. One that says itself how it is kept stays."""
    # Without a length it is the head of a stream, whose body nobody made.
    if status != 200 or service in _SECRET or head[-1][0] != b"content-length":
        return status, head, body
    if len(head) > _USUAL and any(name in _OWN for name, _ in head):
        return status, head, body
    etag = b'W/"%s"' % hashlib.blake2b(body, digest_size=9).hexdigest().encode()
    head += (b"etag", etag), _PRIVATE
    known = headers.get("if-none-match")
    if known is not None and _knows(known, etag):
        return 304, [pair for pair in head if pair[0] not in _NOT_WITH_304], b""
    return status, head, body


def _knows(known: str, etag: bytes) -> bool:
    """Weak comparison (RFC 9110, 13.1.2)."""
    wanted = etag[2:].decode()
    return any(one.strip().removeprefix("W/") in ("*", wanted) for one in known.split(","))


def may_compress(headers: Mapping[str, str], service: str) -> bool:
    """Whether the client takes gzip, and nothing is told by its use."""
    accepted = headers.get("accept-encoding")
    if accepted is None or "gzip" not in accepted or service in _SECRET:
        return False
    return _takes_gzip(accepted) and not headers.get("authorization", "").lower().startswith("basic")


def _takes_gzip(accepted: str) -> bool:
    for part in accepted.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _worth_it(head: Headers) -> bool:
    """Texts, and nothing that is encoded already."""
    kind = next((value for name, value in head if name == b"content-type"), b"")
    return kind.startswith(_KINDS) and all(name != b"content-encoding" for name, _ in head)


async def compressed(head: Headers, body: bytes) -> bytes:
    """The body as gzip, and *head* changed to say so; both as they are where it is not worth it."""
    if len(body) < SMALLEST or not _worth_it(head):
        return body
    packed = _packed(body) if len(body) < IN_THREAD else await asyncio.to_thread(_packed, body)
    _say(head)
    head[:] = [(b"content-length", b"%d" % len(packed)) if pair[0] == b"content-length" else pair for pair in head]
    return packed


def compressed_stream(head: Headers, stream: Stream) -> Stream:
    """The same for a body that comes in chunks; events of a stream that waits are not held back by it."""
    if not _worth_it(head) or (b"x-accel-buffering", b"no") in head:
        return stream
    _say(head)
    return _packing(stream)


def _say(head: Headers) -> None:
    head.append((b"content-encoding", b"gzip"))
    if all(name != b"vary" for name, _ in head):
        head.append((b"vary", b"Accept-Encoding"))


def _packed(body: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()


async def _packing(stream: Stream) -> Stream:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
    async with aclosing(stream):
        async for chunk in stream:
            if packed := packer.compress(chunk):
                yield packed
        yield packer.flush()
