"""Signed links to a job."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from reverie.config import read_settings
from reverie.sealing import Sealer
from reverie.web.links import GOOD_FOR, is_good, job_link, job_path

SECRET = "thirty-two characters are enough!"
NOW = 1_714_644_000.0


def query(link: str) -> tuple[str, str]:
    found = parse_qs(urlsplit(link).query)
    return found["expires"][0], found["signature"][0]


def test_a_link_is_good_for_its_job_and_a_day() -> None:
    sealer = Sealer(SECRET)
    expires, signature = query(job_path(sealer, "a-job", NOW))

    assert is_good(sealer, "a-job", expires=expires, signature=signature, now=NOW + GOOD_FOR)
    assert not is_good(sealer, "a-job", expires=expires, signature=signature, now=NOW + GOOD_FOR + 1)
    assert not is_good(sealer, "another", expires=expires, signature=signature, now=NOW)


def test_nobody_can_make_a_link_last_longer() -> None:
    sealer = Sealer(SECRET)
    expires, signature = query(job_path(sealer, "a-job", NOW))

    assert not is_good(sealer, "a-job", expires=str(int(expires) + 1), signature=signature, now=NOW)


@pytest.mark.parametrize("expires", ["", "soon", "-1", "1e99", "²", "9" * 40])
def test_a_link_with_a_strange_time_is_not_good(expires: str) -> None:
    assert not is_good(Sealer(SECRET), "a-job", expires=expires, signature="x", now=NOW)


def test_the_command_line_makes_the_link_that_the_api_believes(tmp_path: Path) -> None:
    settings = read_settings({"REVERIE_DATA_DIR": str(tmp_path), "REVERIE_SECRET_KEY": SECRET, "REVERIE_PORT": "8123"})

    link = job_link(settings, "a-job")

    assert link.startswith("http://127.0.0.1:8123/jobs/a-job?")
    expires, signature = query(link)
    assert is_good(Sealer(SECRET), "a-job", expires=expires, signature=signature, now=time.time())
