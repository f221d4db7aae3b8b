"""What a start prints, and what its children are told."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from reverie.cli.start import lines
from reverie.cli.up import children_of
from reverie.config import Settings


@dataclass(frozen=True)
class Found:
    initialised: bool = True
    setup_path: str | None = None
    admin_email: str | None = None
    admin_password: str | None = None
    api_key: str | None = None
    admin_token: str | None = None
    curls: Sequence[str] = ()
    notes: Sequence[str] = ()


SETTINGS = Settings(data_dir=Path("/somewhere"), port=8123)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8123"),
        ("0.0.0.0", "http://127.0.0.1:8123"),
        ("::", "http://[::1]:8123"),
        ("fe80::1", "http://[fe80::1]:8123"),
        ("box.example.test", "http://box.example.test:8123"),
    ],
)
def test_the_address_can_be_opened(host: str, url: str) -> None:
    assert msgspec.structs.replace(SETTINGS, host=host).address == url


def test_the_demo_prints_one_line_to_paste() -> None:
    shown = list(lines(SETTINGS, Found(api_key="k" * 64, admin_token="a.b.c"), worker="serves every queue"))

    (line,) = [line for line in shown if line.startswith("export ")]
    assert shlex.split(line) == [
        "export",
        "REVERIE_URL=http://127.0.0.1:8123",
        f"REVERIE_KEY={'k' * 64}",
        "REVERIE_ADMIN=a.b.c",
    ]


def test_without_an_administrator_the_link_stands_on_a_line_of_its_own() -> None:
    shown = list(lines(SETTINGS, Found(initialised=False, setup_path="/setup/abc"), worker="x"))

    assert "http://127.0.0.1:8123/setup/abc" in shown
    assert not any("password" in line or line.startswith("export") for line in shown)


def test_a_password_that_was_made_is_shown_with_the_name() -> None:
    shown = list(lines(SETTINGS, Found(admin_email="a@example.test", admin_password="pw"), worker="x"))

    assert "administrator: a@example.test with password pw (shown this once)" in shown


def test_given_files_and_notes_come_as_they_are() -> None:
    shown = list(lines(SETTINGS, Found(curls=["curl one", "curl two"], notes=["note"]), worker="none"))

    assert {"note", "curl one", "curl two", "worker: none"} <= set(shown)


def test_children_are_told_their_parent_and_keep_no_password(tmp_path: Path) -> None:
    environ = {"PATH": "/bin", "REVERIE_ADMIN_EMAIL": "a@b.test", "REVERIE_ADMIN_PASSWORD": "pw", "REVERIE_DEMO": "1"}
    settings = msgspec.structs.replace(SETTINGS, workers=2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        api, *workers = children_of(settings, Path("r.toml"), environ, listener, 99)
        number = listener.fileno()

    assert (api.name, api.descriptors) == ("api", (number, 99))
    assert str(number) in api.command
    assert [child.name for child in workers] == ["worker-1", "worker-2"]
    for child in (api, *workers):
        assert child.environment == {
            "PATH": "/bin",
            "REVERIE_DEMO": "1",
            "REVERIE_HOST": "127.0.0.1",
            "REVERIE_PORT": "8123",
            "REVERIE_DATA_DIR": "/somewhere",
            "REVERIE_CONFIG": str(Path("r.toml").absolute()),
        }


def test_no_workers_means_no_worker_process() -> None:
    settings = msgspec.structs.replace(SETTINGS, workers=0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert [child.name for child in children_of(settings, None, {}, listener, 99)] == ["api"]
