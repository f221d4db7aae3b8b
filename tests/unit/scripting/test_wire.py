"""Frames: whole, in pieces, and nonsense."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverie.scripting import wire

RESULT = b'{"type":"result","event":{"a":[1,null]},"returned":0}'
LOG = '{"type":"log","text":"ä"}'.encode()


def framed(*bodies: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(body)) + body for body in bodies)


def test_a_message_to_a_child_is_length_and_json_with_its_type_first() -> None:
    frame = wire.frame(wire.RunMessage("return 1", {"a": 1}, {"session": None}, 256))

    assert struct.unpack(">I", frame[:4])[0] == len(frame) - 4
    assert frame[4:].startswith(b'{"type":"run"')
    assert msgspec.json.decode(frame[4:]) == {
        "type": "run",
        "script": "return 1",
        "event": {"a": 1},
        "platform": {"session": None},
        "memory": 256,
    }


@given(st.lists(st.integers(min_value=1, max_value=40), max_size=20))
def test_messages_arrive_however_the_stream_is_cut(cuts: list[int]) -> None:
    stream = framed(RESULT, LOG, RESULT)
    frames = wire.Frames()
    got: list[wire.Message] = []

    at = 0
    for cut in [*cuts, len(stream)]:
        got += frames.feed(stream[at : at + cut])
        at += cut

    assert got == [wire.Result({"a": [1, None]}, 0), wire.Log("ä"), wire.Result({"a": [1, None]}, 0)]


def test_a_result_without_a_returned_value_is_not_one_with_null() -> None:
    without, null = wire.Frames().feed(
        framed(b'{"type":"result","event":{}}', b'{"type":"result","event":{},"returned":null}')
    )

    assert isinstance(without, wire.Result)
    assert isinstance(null, wire.Result)
    assert without.returned is msgspec.UNSET
    assert null.returned is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"type":"unknown"}',
        b'{"type":"log"}',
        b'{"type":"log","text":5}',
        b'{"type":"call","id":"1","op":"api","args":{}}',
        b'{"type":"call","id":1,"op":"api","args":[]}',
        b'{"type":"started","pid":null}',
        b'{"type":"log","text":"\xff"}',
        b'{"type":"result","event":' + b"[" * 100_000,
    ],
)
def test_what_is_in_no_row_of_the_table_is_refused(body: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.Frames().feed(framed(body))


def test_a_length_beyond_the_limit_is_refused_before_the_bytes_come() -> None:
    with pytest.raises(wire.WireError, match="bytes"):
        wire.Frames().feed(struct.pack(">I", wire.MAX_FRAME + 1))
