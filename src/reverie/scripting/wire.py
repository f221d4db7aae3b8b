"""Every message between us and a child, in one table, and how messages are framed.

| to the child | fields | meaning |
|---|---|---|
| run | script, event, platform, memory | begin; nothing else is sent before the result |
| check | script, memory | parse it and run nothing; its result returns what is wrong, see checking.py |
| answer | id, value | to the call with that id |

| from the child | fields | meaning |
|---|---|---|
| ready | version | it can take a run |
| started | pid | a process of its own took the run (python, php) and leads a group |
| call | id, op, args | ask the platform, or for a module; ids are the child's, several may be open |
| log | text | the script printed |
| result | event, returned | the script ended; `returned` is absent if it returned nothing |
| error | kind, message, code, status_code, line, column | the script threw, or does not compile |
| ended | code | the process that took the run is gone (python); below zero: minus the signal |

A frame is the length of the message in bytes, 4 bytes, big-endian, and the message: JSON in UTF-8.
What comes from a child is as trustworthy as the script in it: every frame is checked against the table.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, TypeAlias, cast

import msgspec

from reverie.model import JSON

MAX_FRAME: Final = 64 * 1024 * 1024
"""Bytes of the largest message that a child may send."""

_LENGTH: Final = struct.Struct(">I")


class WireError(Exception):
    """The child sent what is no message."""


class RunMessage(msgspec.Struct, tag_field="type", tag="run", frozen=True):
    script: str
    event: Mapping[str, object]
    platform: Mapping[str, object]
    memory: int


class CheckMessage(msgspec.Struct, tag_field="type", tag="check", frozen=True):
    script: str
    memory: int


class AnswerMessage(msgspec.Struct, tag_field="type", tag="answer", frozen=True):
    id: int
    value: object


class Ready(msgspec.Struct, tag_field="type", tag="ready", frozen=True):
    version: str


class Started(msgspec.Struct, tag_field="type", tag="started", frozen=True):
    pid: int


class Call(msgspec.Struct, tag_field="type", tag="call", frozen=True):
    id: int
    op: str
    args: dict[str, object]


class Log(msgspec.Struct, tag_field="type", tag="log", frozen=True):
    text: str


class Result(msgspec.Struct, tag_field="type", tag="result", frozen=True):
    event: object
    returned: object = msgspec.UNSET


class Failure(msgspec.Struct, tag_field="type", tag="error", frozen=True):
    message: str
    kind: str = ""
    code: object = None
    status_code: object = None
    line: int | None = None
    column: int | None = None


class Ended(msgspec.Struct, tag_field="type", tag="ended", frozen=True):
    code: int


Message: TypeAlias = Ready | Started | Call | Log | Result | Failure | Ended

_decoder: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(Message)
_encoder: Final = msgspec.json.Encoder()


def frame(message: RunMessage | CheckMessage | AnswerMessage) -> bytes:
    """A message, ready to be sent.

    Raises:
        TypeError, ValueError: the message holds what JSON cannot.
    """
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """Check and read one message.

    Raises:
        WireError: it is none of the table.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WireError(str(error)) from error


def as_json(value: object) -> JSON:
    """What the decoder made of a JSON document, under its proper name."""
    return cast("JSON", value)


class Frames:
    """Puts the bytes of a stream together to messages."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete with *data*.

        Raises:
            WireError: the stream holds something else; it cannot be read any further.
        """
        held = self._held
        held += data
        messages: list[Message] = []
        at = 0
        while len(held) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(held, at)
            if length > MAX_FRAME:
                raise WireError(f"a message of {length} bytes")
            end = at + _LENGTH.size + length
            if len(held) < end:
                break
            messages.append(decode(bytes(held[at + _LENGTH.size : end])))
            at = end
        del held[:at]
        return messages
