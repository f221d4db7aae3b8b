"""The reference names every error."""

from __future__ import annotations

from pathlib import Path

from reverie.errors import QueueUnavailable, ReverieError
from reverie.web.requests import UnknownVerb

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"


def below(error: type[ReverieError]) -> set[type[ReverieError]]:
    return {error}.union(*(below(one) for one in error.__subclasses__()))


def test_every_error_stands_in_the_reference_with_its_status() -> None:
    rows = {
        line.split("`")[1]: line
        for line in REFERENCE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    }
    inside = {"IdentityRevoked", "SettingsError"}
    public = [error for error in below(ReverieError) if error.__module__ in ("reverie.errors", UnknownVerb.__module__)]

    assert {error.__name__ for error in public} - inside == set(rows)
    for error in public:
        if error.__name__ not in inside and error.__name__ != "ScriptingDisabled":
            assert f"| {error.status}" in rows[error.__name__]


def test_errors_that_stay_inside_are_explained_too() -> None:
    text = REFERENCE.read_text(encoding="utf-8")

    assert "`IdentityRevoked`" in text
    assert "`SettingsError`" in text


def test_a_queue_that_is_away_says_when_to_come_back_and_one_that_cannot_be_used_does_not() -> None:
    assert QueueUnavailable().response().headers == {"Retry-After": "2"}
    assert QueueUnavailable("It is not for jobs.", retry_after=None).response().headers == {}
