"""Hosts that share a store and not its secret key: what the start of the second says."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reverie.app import build
from reverie.config import read_settings
from reverie.store.key_mark import OTHER_KEY
from reverie.store.migrate import migrate
from tests.postgres import database_url

pytestmark = pytest.mark.anyio


async def started(url: str, folder: Path, key: str, old: str = "") -> list[str]:
    """What a start with that key says of keys."""
    given = {"REVERIE_DATA_DIR": str(folder), "REVERIE_DATABASE_URL": url, "REVERIE_SECRET_KEY": key}
    settings = read_settings(given | ({"REVERIE_SECRET_KEY_OLD": old} if old else {}))
    with capture_logs() as lines:
        async with build(settings, scripts=False):
            pass
    return [str(line["cause"]) for line in lines if line["event"] == "key.not_shared"]


async def test_a_host_with_another_secret_key_says_so_at_its_start(tmp_path: Path) -> None:
    first, second = "s" * 32, "t" * 32
    with database_url() as url:
        migrate(url)
        assert await started(url, tmp_path / "one", first) == []
        assert await started(url, tmp_path / "two", second) == [OTHER_KEY]

        # As the page about the secret key tells it: the new one with the old one beside it, on every host.
        assert await started(url, tmp_path / "one", second, old=first) == []
        assert await started(url, tmp_path / "two", second, old=first) == []
        assert await started(url, tmp_path / "three", first) == [OTHER_KEY]
