"""What a run answered, kept for whoever asks: the whole answer, sealed.

    sealed( kind of body, 1 byte: "j" or "z" | JSON, or JSON under zlib )
    JSON: {"status": 200, "headers": {...}, "content_type": null, "content": ...} with "base64": true for bytes,
          or {"too_large": bytes of that JSON}, or {"too_deep": true}

The seal is bound to the job, so that no answer can be moved to another.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, Final

import msgspec

from reverie.errors import NotFound
from reverie.model import JSON, Response
from reverie.sealing import Sealer, Unsealable

LARGEST: Final = 1024 * 1024
"""Bytes of an answer as JSON; of a larger one only its size is kept."""
TOO_DEEP: Final = "The answer is nested too deeply to be kept."
COMPRESSED_FROM: Final = 64 * 1024
_PLAIN, _ZLIB = b"j", b"z"


def seal_result(response: Response, sealer: Sealer, *, job_id: str) -> bytes:
    try:
        text = _encode(_map_of(response))
    except RecursionError:
        text = _encode({"too_deep": True})
    if len(text) > LARGEST:
        text = _encode({"too_large": len(text)})
    body = _PLAIN + text if len(text) <= COMPRESSED_FROM else _ZLIB + zlib.compress(text, 1)
    return sealer.seal(body, about=_about(job_id))


def open_result(sealed: bytes, sealer: Sealer, *, job_id: str) -> Response:
    """The opposite of `seal_result`.

    Raises:
        NotFound: it cannot be opened, or was too large to be kept.
    """
    try:
        body = sealer.open(sealed, about=_about(job_id))
        stored: dict[str, Any] = json.loads(zlib.decompress(body[1:]) if body[:1] == _ZLIB else body[1:])
    except (Unsealable, zlib.error, ValueError) as error:
        raise NotFound("The answer cannot be opened any more; it was sealed under another secret key.") from error
    except RecursionError as error:
        raise NotFound(TOO_DEEP) from error
    if "too_deep" in stored:
        raise NotFound(TOO_DEEP)
    if "too_large" in stored:
        raise NotFound(
            f"The answer had {stored['too_large']} bytes; of a job no more than {LARGEST} are kept. "
            "Make the call without a queue, or for fewer records."
        )
    content = stored["content"]
    return Response(
        status=stored["status"],
        content=base64.b64decode(content) if stored.get("base64") else content,
        content_type=stored["content_type"],
        headers=stored["headers"],
    )


def _map_of(response: Response) -> dict[str, JSON]:
    content = response.content
    kept: dict[str, JSON] = {
        "status": response.status,
        "headers": dict(response.headers),
        "content_type": response.content_type,
    }
    if isinstance(content, bytes):
        return {**kept, "content": base64.b64encode(content).decode(), "base64": True}
    return {**kept, "content": content}


def _encode(value: dict[str, JSON]) -> bytes:
    """Any size of integer and any text; half a surrogate pair, which no UTF-8 can hold, stays escaped."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(value, separators=(",", ":")).encode()


def _about(job_id: str) -> str:
    return f"result:{job_id}"
