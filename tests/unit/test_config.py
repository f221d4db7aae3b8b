"""Settings: what is read from where, and that every mistake is told at once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from reverie.config import ALIASES, CLIENT_NAMES, NAMES, read_settings
from reverie.errors import SettingsError
from reverie.jobs.connections import STANDARD
from reverie.jobs.settings import FIELDS, FOREIGN, FOREIGN_QUEUE

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def mistakes_of(environ: dict[str, str], file: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_settings(environ, file)
    return caught.value.mistakes


def test_an_empty_environment_gives_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    settings = read_settings({})

    assert msgspec.structs.asdict(settings) == {
        "data_dir": tmp_path / "data",
        "host": "127.0.0.1",
        "port": 8000,
        "database_url": f"sqlite:///{tmp_path}/data/reverie.sqlite",
        "secret_key": None,
        "secret_key_old": (),
        "admin_email": None,
        "admin_password": None,
        "demo": False,
        "workers": 1,
        "queue_connection": "database",
        "queue_tries": 3,
        "queue_timeout": 60.0,
        "queue_crashes": 3,
        "log_format": "text",
        "log_level": "info",
        "sqlite_synchronous": "full",
        "sql_plans": "kept",
        "metrics": "closed",
        "metrics_token": None,
        "script_egress": "any",
        "script_isolation": "instance",
        "scripting_disable": (),
        "max_body": 32 * 1024 * 1024,
        "queue_connections": STANDARD,
    }


def test_every_setting_can_come_from_the_environment(tmp_path: Path) -> None:
    environ = {
        "REVERIE_DATA_DIR": str(tmp_path / "d"),
        "REVERIE_HOST": "::1",
        "REVERIE_PORT": "0",
        "REVERIE_DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
        "REVERIE_SECRET_KEY": "s" * 32,
        "REVERIE_ADMIN_EMAIL": "a@example.test",
        "REVERIE_ADMIN_PASSWORD": "p",
        "REVERIE_DEMO": "Yes",
        "REVERIE_WORKERS": "0",
        "REVERIE_QUEUE_CONNECTION": "redis",
        "REVERIE_QUEUE_TRIES": "0",
        "REVERIE_QUEUE_TIMEOUT": "1.5",
        "REVERIE_QUEUE_CRASHES": "50",
        "REVERIE_LOG_FORMAT": "json",
        "REVERIE_LOG_LEVEL": "debug",
        "REVERIE_SQLITE_SYNCHRONOUS": "normal",
        "REVERIE_SQL_PLANS": "none",
        "REVERIE_METRICS": "open",
        "REVERIE_METRICS_TOKEN": "t" * 16,
        "REVERIE_SECRET_KEY_OLD": f"{'o' * 32}\n{'p' * 32}\n",
        "REVERIE_SCRIPT_EGRESS": "public",
        "REVERIE_SCRIPT_ISOLATION": "run",
        "REVERIE_SCRIPTING_DISABLE": "PHP, nodejs",
        "REVERIE_MAX_BODY": "2MiB",
    }

    settings = read_settings(environ)

    assert settings.store_path == tmp_path / "x.db"
    assert msgspec.structs.asdict(settings) == {
        "data_dir": tmp_path / "d",
        "host": "::1",
        "port": 0,
        "database_url": f"sqlite:///{tmp_path}/x.db",
        "secret_key": "s" * 32,
        "secret_key_old": ("o" * 32, "p" * 32),
        "admin_email": "a@example.test",
        "admin_password": "p",
        "demo": True,
        "workers": 0,
        "queue_connection": "redis",
        "queue_tries": 0,
        "queue_timeout": 1.5,
        "queue_crashes": 50,
        "log_format": "json",
        "log_level": "debug",
        "sqlite_synchronous": "normal",
        "sql_plans": "none",
        "metrics": "open",
        "metrics_token": "t" * 16,
        "script_egress": "public",
        "script_isolation": "run",
        "scripting_disable": ("php", "nodejs"),
        "max_body": 2 * 1024 * 1024,
        "queue_connections": STANDARD,
    }


@pytest.mark.parametrize(
    "given", ["postgresql://u:hidden@h:5433/d?sslmode=require", "postgres://u:hidden@h:5433/d?pooler=transaction"]
)
def test_a_store_on_postgresql_is_shown_without_its_password(given: str, tmp_path: Path) -> None:
    settings = read_settings({"REVERIE_DATABASE_URL": given, "REVERIE_DATA_DIR": str(tmp_path)})

    assert str(settings.store) == "postgresql://h:5433/d"
    assert "hidden" not in repr(settings) + repr(settings.store)
    assert settings.store.server is not None
    assert settings.store.server.dsn.startswith("postgresql://u:hidden@h:5433/d")
    assert "pooler" not in settings.store.server.dsn
    assert settings.store.server.pooled == ("pooler" in given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("postgresql://u:hidden@h", "expected the name of the database"),
        ("postgresql://u:hidden@h/d?pooler=statement", "expected pooler=session or pooler=transaction"),
    ],
)
def test_a_mistake_in_the_address_of_a_server_is_told_without_it(given: str, told: str, tmp_path: Path) -> None:
    [mistake] = mistakes_of({"REVERIE_DATABASE_URL": given, "REVERIE_DATA_DIR": str(tmp_path)})

    assert told in mistake
    assert "hidden" not in mistake


def test_unknown_names_and_bad_values_come_in_one_error(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text('hots = "x"\nworkers = -1\ndemo = {}\n')
    environ = {
        "REVERIE_PROT": "1",
        "REVERIE_PORT": "99999",
        "REVERIE_QUEUE_TRIES": "many",
        "REVERIE_DEMO": "perhaps",
        "REVERIE_LOG_FORMAT": "xml",
        "REVERIE_SECRET_KEY": "short",
        "REVERIE_DATABASE_URL": "mysql://u:hidden@h/d",
        "REVERIE_ADMIN_EMAIL": "nobody",
        "REVERIE_MAX_BODY": "much",
    }

    mistakes = mistakes_of(environ, file)

    text = "\n".join(mistakes)
    assert len(mistakes) == 13
    assert "REVERIE_PROT: there is no such setting; did you mean REVERIE_PORT?" in mistakes
    assert f"hots in {file}: there is no such setting; did you mean host?" in mistakes
    for part in (
        "REVERIE_PORT: expected a whole number <= 65535, not '99999'",
        "REVERIE_QUEUE_TRIES: ",
        "REVERIE_DEMO: ",
        "REVERIE_LOG_FORMAT: ",
        "REVERIE_SECRET_KEY: expected 32 characters or more, there are 5",
        "REVERIE_DATABASE_URL: expected sqlite:/// and the path of a file, or postgresql://",
        "REVERIE_ADMIN_EMAIL: ",
        "REVERIE_ADMIN_EMAIL and REVERIE_ADMIN_PASSWORD belong together",
        "REVERIE_MAX_BODY: ",
        f"workers in {file}: ",
        f"demo in {file}: ",
    ):
        assert part in text
    assert "hidden" not in text


@pytest.mark.parametrize("name", sorted(CLIENT_NAMES))
def test_names_of_clients_are_known_and_ignored(name: str) -> None:
    assert read_settings({name: "x"}) == read_settings({})


def test_an_empty_text_counts_as_not_set() -> None:
    assert read_settings({"REVERIE_PORT": "", "REVERIE_SECRET_KEY": "", "REVERIE_NONSENSE": ""}) == read_settings({})


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    (tmp_path / "reverie.toml").write_text('port = 9000\nlog_format = "json"\nscripting_disable = ["php", "python3"]\n')

    settings = read_settings({"REVERIE_DATA_DIR": str(tmp_path), "REVERIE_PORT": "9001"})

    assert (settings.port, settings.log_format) == (9001, "json")
    assert settings.scripting_disable == ("php", "python3")


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"

    assert mistakes_of({"REVERIE_CONFIG": str(missing)}) == [f"{missing}: cannot be read (No such file or directory)"]
    assert mistakes_of({}, missing) == [f"{missing}: cannot be read (No such file or directory)"]


def test_a_broken_file_is_one_mistake(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text("port = ")

    assert mistakes_of({}, file)[0].startswith(f"{file}: cannot be read (Invalid value")


def test_a_secret_can_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("k" * 40 + "\n")

    assert read_settings({"REVERIE_SECRET_KEY_FILE": str(file)}).secret_key == "k" * 40


def test_a_secret_given_twice_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("k" * 40)

    mistakes = mistakes_of({"REVERIE_SECRET_KEY_FILE": str(file), "REVERIE_SECRET_KEY": "k" * 40})

    assert mistakes == ["REVERIE_SECRET_KEY_FILE: REVERIE_SECRET_KEY is set as well; only one of them can hold"]


def test_only_secrets_have_a_file_variant() -> None:
    assert mistakes_of({"REVERIE_PORT_FILE": "/x"})[0].startswith("REVERIE_PORT_FILE: there is no such setting")


def test_names_of_dreamfactory_are_understood_and_ours_win() -> None:
    assert read_settings({"QUEUE_DRIVER": "a"}).queue_connection == "a"
    assert read_settings({"QUEUE_DRIVER": "a", "QUEUE_CONNECTION": "b"}).queue_connection == "b"
    assert read_settings({"QUEUE_CONNECTION": "b", "REVERIE_QUEUE_CONNECTION": "c"}).queue_connection == "c"
    assert read_settings({"DF_SCRIPTING_DISABLE": "all"}).scripting_disable == ("all",)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e30"])
def test_a_timeout_is_a_plain_number(text: str) -> None:
    assert mistakes_of({"REVERIE_QUEUE_TIMEOUT": text})[0].startswith("REVERIE_QUEUE_TIMEOUT: expected")


def test_secrets_are_not_in_the_representation() -> None:
    settings = read_settings(
        {"REVERIE_SECRET_KEY": "s" * 32, "REVERIE_ADMIN_EMAIL": "a@b.test", "REVERIE_ADMIN_PASSWORD": "hush-hush"}
    )

    assert "sss" not in repr(settings)
    assert "hush" not in repr(settings)


def test_every_setting_stands_in_the_reference() -> None:
    reference = REFERENCE.read_text(encoding="utf-8")

    names = [f"`REVERIE_{name.upper()}`" for name in NAMES]
    names += [f"`REVERIE_QUEUE_<NAME>_{field.upper()}`" for field in FIELDS]
    names += [f"`{name}`" for name in (*ALIASES, *CLIENT_NAMES, *FOREIGN, FOREIGN_QUEUE)]
    for name in names:
        assert name in reference, f"{name} is not described"


def test_how_sqlite_writes_is_a_setting() -> None:
    assert read_settings({}).sqlite_synchronous == "full"
    assert read_settings({"REVERIE_SQLITE_SYNCHRONOUS": "normal"}).sqlite_synchronous == "normal"
    with pytest.raises(SettingsError, match="expected one of full, normal"):
        read_settings({"REVERIE_SQLITE_SYNCHRONOUS": "off"})
