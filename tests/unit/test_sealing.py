from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest

from reverie.sealing import (
    KEY_FILE,
    KeyFile,
    Sealer,
    Unsealable,
    key_id_of,
    key_id_of_secret,
    make_secret,
    sealer_for,
    secret_from,
)

OLD = "the secret of last year, long enough"
NEW = "the secret of this year, long enough"


def test_what_was_sealed_comes_back_only_under_the_same_about() -> None:
    sealer = Sealer(NEW)

    sealed = sealer.seal(b"rosebud", about="job 7")

    assert sealer.open(sealed, about="job 7") == b"rosebud"
    with pytest.raises(Unsealable, match="belongs elsewhere"):
        sealer.open(sealed, about="job 8")


def test_sealing_twice_gives_different_bytes_that_do_not_show_the_text() -> None:
    sealer = Sealer(NEW)

    first, second = sealer.seal(b"rosebud"), sealer.seal(b"rosebud")

    assert first != second
    assert b"rosebud" not in first + second


def test_every_changed_byte_is_noticed() -> None:
    sealer = Sealer(NEW)
    sealed = sealer.seal(b"rosebud")

    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(Unsealable):
            sealer.open(bytes(changed))


@pytest.mark.parametrize("data", [b"", b"\x01", b"no envelope at all, but longer than a head"])
def test_what_is_no_envelope_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(Unsealable, match="not a sealed value"):
        Sealer(NEW).open(data)


def test_a_new_secret_opens_what_an_older_one_sealed_until_that_is_forgotten() -> None:
    sealed = Sealer(OLD).seal(b"rosebud")

    assert Sealer(NEW, older=[OLD]).open(sealed) == b"rosebud"
    with pytest.raises(Unsealable, match="is not known here"):
        Sealer(NEW).open(sealed)


def test_another_process_with_the_same_secret_can_open() -> None:
    sealed = Sealer(NEW).seal_text("grüße", about="lookup")

    assert base64.b64decode(sealed)
    assert Sealer(NEW).open_text(sealed, about="lookup") == "grüße"
    with pytest.raises(Unsealable):
        Sealer(NEW).open_text("not base64!", about="lookup")


def test_token_keys_roll_with_the_secret() -> None:
    rolled = Sealer(NEW, older=[OLD])

    key_id, key = rolled.token_key

    assert rolled.token_keys[key_id] == key
    assert (key_id, key) == Sealer(NEW).token_key
    old_id, old_key = Sealer(OLD).token_key
    assert rolled.token_keys[old_id] == old_key
    assert old_id != key_id
    assert len(key) == 32


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 characters"):
        Sealer("x" * 31)
    assert Sealer("x" * 32).key_id != Sealer("y" * 32).key_id
    assert len(make_secret()) >= 32


def test_the_kept_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"

    secret = secret_from(folder)

    assert secret_from(folder) == secret
    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in folder.iterdir()] == [KEY_FILE]


def test_processes_that_start_together_get_the_same_secret(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from reverie.sealing import secret_from; sys.stdin.read(1);"
    command = [sys.executable, "-c", f"{code} print(secret_from(Path(sys.argv[1])))", str(tmp_path / "data")]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]

    for process in processes:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    answers = {process.communicate()[0] for process in processes}

    assert answers == {secret_from(tmp_path / "data") + "\n"}


def test_a_kept_secret_that_is_too_short_is_an_error_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("short\n")

    with pytest.raises(ValueError, match="fewer than 32"):
        secret_from(tmp_path)
    assert (tmp_path / KEY_FILE).read_text() == "short\n"


def test_a_sealer_of_a_folder_opens_what_a_newer_key_in_it_sealed_at_once(tmp_path: Path) -> None:
    running = sealer_for(tmp_path)
    before = running.seal(b"before")
    KeyFile(tmp_path).write([NEW, *KeyFile(tmp_path).secrets()])
    sealed = Sealer(NEW).seal(b"after")

    assert running.open(sealed) == b"after"
    assert running.open(before) == b"before"
    assert running.key_id == key_id_of_secret(NEW)
    assert key_id_of(running.seal(b"x")) == key_id_of_secret(NEW)


def test_a_sealer_of_a_folder_seals_under_the_new_key_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("reverie.sealing.time.monotonic", lambda: now)
    running = sealer_for(tmp_path)
    old = key_id_of(running.seal(b"x"))
    KeyFile(tmp_path).write([NEW, *KeyFile(tmp_path).secrets()])

    assert key_id_of(running.seal(b"x")) == old
    now = 101.5
    assert key_id_of(running.seal(b"x")) == key_id_of_secret(NEW)


def test_a_key_that_was_taken_out_of_the_file_opens_nothing_more(tmp_path: Path) -> None:
    KeyFile(tmp_path).write([NEW, OLD])
    running = sealer_for(tmp_path)
    sealed = Sealer(OLD).seal(b"rosebud")
    assert running.open(sealed) == b"rosebud"

    KeyFile(tmp_path).write([NEW])
    later = sealer_for(tmp_path)

    with pytest.raises(Unsealable, match=key_id_of_secret(OLD)):
        later.open(sealed)


def test_a_file_that_is_half_written_changes_nothing(tmp_path: Path) -> None:
    running = sealer_for(tmp_path)
    key = running.key_id
    (tmp_path / KEY_FILE).write_text("short\n")

    with pytest.raises(Unsealable):
        running.open(Sealer(NEW).seal(b"x"))
    assert running.key_id == key


def test_the_file_of_keys_is_for_its_owner_only(tmp_path: Path) -> None:
    secret_from(tmp_path)
    KeyFile(tmp_path).write([NEW, OLD])

    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [KEY_FILE]


def test_a_key_from_the_settings_has_those_of_before_beside_it(tmp_path: Path) -> None:
    sealer = sealer_for(tmp_path, NEW, [OLD])

    assert sealer.open(Sealer(OLD).seal(b"x")) == b"x"
    assert set(sealer.key_ids) == {key_id_of_secret(NEW), key_id_of_secret(OLD)}
    assert not (tmp_path / KEY_FILE).exists()
