"""Queue connections in the settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reverie.config import Settings, read_settings
from reverie.errors import SettingsError
from reverie.jobs.address import RedisAddress
from reverie.jobs.connections import STANDARD, ConnectionSettings

HERE = RedisAddress(hosts=(("127.0.0.1", 6379),))


def named(settings: Settings) -> dict[str, ConnectionSettings]:
    return {one.name: one for one in settings.queue_connections}


def mistakes_of(environ: dict[str, str], file: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_settings(environ, file)
    return caught.value.mistakes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "r.toml"


def test_connections_are_named_in_the_environment() -> None:
    settings = read_settings(
        {
            "REVERIE_QUEUE_REDIS_URL": "redis://127.0.0.1",
            "REVERIE_QUEUE_SLOW_ONES_DRIVER": "Database",
            "REVERIE_QUEUE_SLOW_ONES_QUEUE": "slow_queue",
        }
    )

    assert settings.queue_connections == (
        *STANDARD,
        ConnectionSettings(name="redis", driver="redis", address=HERE),
        ConnectionSettings(name="slow_ones", driver="database", queue="slow_queue"),
    )


def test_connections_are_tables_of_the_file_and_the_environment_wins_by_field(file: Path) -> None:
    file.write_text(
        '[queue."eu-West"]\ndriver = "redis"\nurl = "redis://elsewhere"\nqueue = "a"\n'
        '[queue.database]\nqueue = "main"\n[queue.off]\ndriver = "null"\n'
    )

    found = named(read_settings({"REVERIE_QUEUE_EU_WEST_URL": "redis://127.0.0.1"}, file))

    assert list(found) == ["database", "sync", "null", "eu-West", "off"]
    assert found["eu-West"] == ConnectionSettings(name="eu-West", driver="redis", queue="a", address=HERE)
    assert found["database"].queue == "main"
    assert found["off"].driver == "null"


@pytest.mark.parametrize("name", ["connection", "tries", "timeout", "crashes"])
def test_a_connection_may_be_called_like_a_setting(name: str) -> None:
    settings = read_settings(
        {
            f"REVERIE_QUEUE_{name.upper()}": "7",
            f"REVERIE_QUEUE_{name.upper()}_DRIVER": "null",
            f"REVERIE_QUEUE_{name.upper()}_QUEUE_QUEUE": "x",
            f"REVERIE_QUEUE_{name.upper()}_QUEUE_DRIVER": "sync",
        }
    )

    assert str(getattr(settings, f"queue_{name}")).startswith("7")
    assert named(settings)[name].driver == "null"
    assert named(settings)[f"{name}_queue"] == ConnectionSettings(name=f"{name}_queue", driver="sync", queue="x")


def test_an_address_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://127.0.0.1\n")
    key = "REVERIE_QUEUE_REDIS_URL"

    assert named(read_settings({f"{key}_FILE": str(tmp_path / "url")}))["redis"].address == HERE
    assert mistakes_of({f"{key}_FILE": str(tmp_path / "url"), key: "redis://h"}) == [
        f"{key}_FILE: {key} is set as well; only one of them can hold"
    ]
    assert f"{key}_FILE: the file '{tmp_path}/none' cannot be read (No such file or directory)" in mistakes_of(
        {f"{key}_FILE": f"{tmp_path}/none", "REVERIE_QUEUE_REDIS_DRIVER": "redis"}
    )


def test_names_of_dreamfactory_make_a_redis_connection() -> None:
    password = {"QUEUE_PASSWORD": "a/b@c"}
    found = named(read_settings({**password, "QUEUE_HOST": "10.0.0.7", "QUEUE_PORT": "7000", "QUEUE_RETRY_AFTER": "9"}))
    assert found["redis"].address == RedisAddress(hosts=(("10.0.0.7", 7000),), db=3, password="a/b@c")

    found = named(read_settings({"QUEUE_DATABASE": "0", "QUEUE_NAME": "main", "REVERIE_QUEUE_SYNC_QUEUE": "own"}))
    assert found["redis"] == ConnectionSettings(name="redis", driver="redis", queue="main", address=HERE)
    assert (found["database"].queue, found["sync"].queue) == ("main", "own")


def test_our_own_names_win_over_those_of_dreamfactory(file: Path) -> None:
    theirs = {"QUEUE_HOST": "10.0.0.7", "QUEUE_PORT": "99999"}
    file.write_text('[queue.redis]\nurl = "redis://127.0.0.1"\n')

    assert named(read_settings({**theirs, "REVERIE_QUEUE_REDIS_URL": "redis://127.0.0.1"}))["redis"].address == HERE
    assert named(read_settings(theirs, file))["redis"].address == HERE
    assert named(read_settings({**theirs, "REVERIE_QUEUE_REDIS_DRIVER": "sync"}))["redis"].driver == "sync"
    assert mistakes_of(theirs) == ["QUEUE_PORT: expected a whole number up to 65535, not '99999'"]


def test_every_mistake_is_told_at_once_and_no_password(file: Path) -> None:
    file.write_text(
        'hots = "x"\n[queue.redis]\ndrivr = "redis"\nurl = 7\n[queue.twice]\ndriver = "sync"\n[queue.TWICE]\n'
        'driver = "sync"\n[queue.empty]\n'
    )
    environ = {
        "REVERIE_QUEUE_A_DRIVER": "reddis",
        "REVERIE_QUEUE_B_URL": "redis://:hidden@h:port",
        "REVERIE_QUEUE_DATABSE_QUEUE": "x",
        "REVERIE_QUEUE_DATABASE_URL": "redis://:hidden@h",
        "REVERIE_QUEUE_SYNC_DRIVER": "redis",
        "REVERIE_QUEUE_C_DRIVER": "redis",
        "REVERIE_QUEUE_D_DRIVR": "redis",
        "REVERIE_QUEUE_TRYS": "3",
        "REVERIE_QUEUE_TWICE_QUEUE": "x",
    }

    mistakes = mistakes_of(environ, file)

    drivers = "database, redis, sync, null"
    assert sorted(mistakes) == sorted(
        [
            f"drivr of [queue.redis] in {file}: there is no such setting; did you mean driver?",
            f"url of [queue.redis] in {file}: expected a text",
            f"hots in {file}: there is no such setting; did you mean host?",
            f"[queue.empty] in {file}: the connection 'empty' has no driver: set it to one of {drivers}",
            f"REVERIE_QUEUE_A_DRIVER: expected one of {drivers}, not 'reddis'; did you mean redis?",
            "REVERIE_QUEUE_B_URL: expected redis://[[user]:password@]host:port; "
            "write / @ : # and ? of a password as %2F %40 %3A %23 %3F",
            f"REVERIE_QUEUE_DATABSE_QUEUE: the connection 'databse' has no driver: set it to one of {drivers}; "
            "did you mean database?",
            "REVERIE_QUEUE_DATABASE_URL: a connection of the driver database has no address; "
            "jobs are kept in the store, see REVERIE_DATABASE_URL",
            "REVERIE_QUEUE_SYNC_DRIVER: the driver of the connection 'sync' is always sync; use another name",
            "the queue connection 'c' needs an address: set REVERIE_QUEUE_C_URL, for instance to "
            "redis://127.0.0.1:6379",
            "REVERIE_QUEUE_D_DRIVR: there is no such setting; did you mean REVERIE_QUEUE_D_DRIVER?",
            "REVERIE_QUEUE_TRYS: there is no such setting; did you mean REVERIE_QUEUE_TRIES?",
            "REVERIE_QUEUE_TWICE_QUEUE: it may mean 'twice' or 'TWICE'; set it in the file",
        ]
    )
    assert "hidden" not in "\n".join(mistakes)


@pytest.mark.parametrize("text", ['queue = "redis"\n', 'queue_connections = ["redis"]\n'])
def test_connections_are_tables_and_nothing_else(file: Path, text: str) -> None:
    file.write_text(text)

    assert len(mistakes_of({}, file)) == 1


def test_a_missing_library_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)

    assert named(read_settings({"REVERIE_QUEUE_MORE_DRIVER": "database"}))
    assert mistakes_of({"REVERIE_QUEUE_REDIS_URL": "redis://h", "REVERIE_PORT": "x"}) == [
        "the queue connection 'redis' needs a library: pip install 'reverie[redis]'",
        "REVERIE_PORT: expected a whole number, not 'x'",
    ]


def test_passwords_of_connections_are_not_in_the_representation() -> None:
    settings = read_settings({"REVERIE_QUEUE_REDIS_URL": "redis://me:hush-hush@h", "QUEUE_PASSWORD": "hush"})

    assert "hush" not in repr(settings)
    assert "hush" not in repr(settings.queue_connections)
    assert "name='redis'" in repr(settings)


def test_the_library_is_not_loaded_until_a_connection_needs_it() -> None:
    program = "import sys, reverie.app; sys.exit('redis' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
