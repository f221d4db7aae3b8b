"""What a job holds, sealed."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.jobs.scene import MovingClock, draft, push, sqlite_queue

from reverie.jobs.payload import COMPRESSED_FROM, Packed, PayloadUnreadable, about_of, environment_map, pack, unpack
from reverie.model import JSON, Access, Caller, Role
from reverie.sealing import Sealer

SECRET = "planted where nobody may read it"
ABOUT = about_of("script.service", "service:7")

CALLER = Caller(
    app_id=4,
    api_key="canary-api-key",
    session_token="canary-token",
    user={"id": 9, "email": "canary@example.test", "is_sys_admin": False},
    role=Role(
        id=3,
        name="todo-writer",
        is_active=True,
        access=(
            Access(
                id=31,
                role_id=3,
                service_id=5,
                service="db",
                component="_table/*",
                verb_mask=31,
                requestor_mask=3,
                filters=({"name": "region", "operator": "=", "value": "canary-filter"},),
                filter_op="OR",
            ),
            Access(id=32, role_id=3, service_id=None, service=None, component="*", verb_mask=1, requestor_mask=1),
        ),
    ),
    lookups={"region": "canary-lookup"},
    secrets={"password": "canary-secret"},
)
EVENT: dict[str, JSON] = {
    "resource": "canary-resource",
    "request": {"method": "POST", "payload": {"name": "canary-body", "empty": [], "large": 2**53 + 1, "none": None}},
    "response": {"status_code": 201, "content": {"resource": [{"id": 1}]}},
}
ENVIRONMENT = environment_map(
    platform="0.1.0",
    language="v8js",
    language_version="14",
    script_version=3,
    config={"api_version": "2.0"},
)
PACKED = Packed(event=EVENT, caller=CALLER, environment=ENVIRONMENT)


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(SECRET)


def test_event_caller_and_environment_come_back_as_they_were(sealer: Sealer) -> None:
    assert unpack(pack(PACKED, sealer, about=ABOUT), sealer, about=ABOUT) == PACKED


@pytest.mark.parametrize("caller", [Caller(), Caller(is_admin=True, user={"id": 1}), replace(CALLER, role=None)])
def test_every_kind_of_caller_comes_back(sealer: Sealer, caller: Caller) -> None:
    packed = Packed(event={}, caller=caller)

    assert unpack(pack(packed, sealer, about=ABOUT), sealer, about=ABOUT).caller == caller


@pytest.mark.parametrize(
    "value",
    [
        2**53 + 1,
        2**64,
        -(2**200),
        1.5,
        [],
        {},
        [[]],
        None,
        "".join(chr(plane << 16 | 0x41) for plane in range(17)),
        "half a pair \ud800",
        "nul \u0000",
        {"encoding": "base64", "data": base64.b64encode(bytes(range(256))).decode()},
    ],
)
def test_values_that_json_often_loses_come_back(sealer: Sealer, value: JSON) -> None:
    packed = Packed(event={"request": {"payload": value}}, caller=Caller())

    assert unpack(pack(packed, sealer, about=ABOUT), sealer, about=ABOUT) == packed


def test_a_large_payload_is_compressed_before_it_is_sealed(sealer: Sealer) -> None:
    packed = Packed(event={"text": "abcdefgh" * 1024 * 1024}, caller=Caller())

    sealed = pack(packed, sealer, about=ABOUT)

    assert len(sealed) < COMPRESSED_FROM * 2
    assert unpack(sealed, sealer, about=ABOUT) == packed


def test_another_secret_cannot_open_a_payload(sealer: Sealer) -> None:
    with pytest.raises(PayloadUnreadable):
        unpack(pack(PACKED, sealer, about=ABOUT), Sealer("another secret of enough characters"), about=ABOUT)


def test_an_older_secret_can_still_open_what_it_sealed(sealer: Sealer) -> None:
    newer = Sealer("another secret of enough characters", older=[SECRET])

    assert unpack(pack(PACKED, sealer, about=ABOUT), newer, about=ABOUT) == PACKED


def test_a_payload_cannot_be_moved_to_another_script(sealer: Sealer) -> None:
    with pytest.raises(PayloadUnreadable):
        unpack(pack(PACKED, sealer, about=ABOUT), sealer, about=about_of("script.service", "service:8"))


@pytest.mark.parametrize("spoiled", [b"", b"j{}", b"\x00" * 200])
def test_nonsense_is_unreadable_and_nothing_worse(sealer: Sealer, spoiled: bytes) -> None:
    with pytest.raises(PayloadUnreadable):
        unpack(spoiled, sealer, about=ABOUT)


@pytest.mark.anyio
async def test_nothing_of_a_payload_can_be_read_at_rest(tmp_path: Path, sealer: Sealer) -> None:
    async with sqlite_queue(tmp_path, MovingClock()) as queue:
        await push(queue, draft(payload=pack(PACKED, sealer, about=ABOUT)))

        stored = all_bytes(tmp_path)

    assert b"service:7" in stored
    assert b"canary" not in stored
    assert b"todo-writer" not in stored


def all_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
