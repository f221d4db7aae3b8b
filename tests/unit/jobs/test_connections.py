"""Named connections, and the options of a script."""

from __future__ import annotations

import pytest

from reverie.errors import BadRequest, UnknownConnection
from reverie.jobs.connections import (
    LONGEST_DELAY,
    Connections,
    ConnectionSettings,
    QueueOptions,
    check_delay,
    normalise_options,
)
from reverie.model import JSON


def test_no_name_means_the_default_connection() -> None:
    connections = Connections()

    assert connections.find(None).name == connections.find("").name == "database"
    assert connections.find("sync").driver == "sync"


def test_an_unknown_connection_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownConnection, match=r"\[redis\]"):
        Connections().find("redis")
    with pytest.raises(UnknownConnection, match=r"\[redis\]"):
        Connections(default="redis").find(None)


def test_a_worker_serves_the_queue_of_its_connection_first() -> None:
    connections = Connections([ConnectionSettings(name="jobs", driver="database", queue="main")], default="jobs")

    assert connections.first_queue(None) == connections.first_queue("jobs") == "main"
    assert connections.first_queue("nope") == "default"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"connection": "redis", "queue": "slow_queue", "delay": 300},
            QueueOptions(connection="redis", queue="slow_queue", delay=300),
        ),
        ({"delay": "300"}, QueueOptions(delay=300)),
        ({"delay": " 2.5 "}, QueueOptions(delay=2.5)),
        ({"delay": 0}, QueueOptions()),
        ({"delay": "-5"}, QueueOptions()),
        ({"delay": ""}, QueueOptions()),
        ({"delay": None, "queue": "", "connection": None}, QueueOptions()),
        ({"delay": "soon"}, QueueOptions()),
        ({"delay": True}, QueueOptions()),
        ({"delay": "nan"}, QueueOptions()),
        ({"delay": 10**400}, QueueOptions(delay=LONGEST_DELAY)),
        ({"delay": [300]}, QueueOptions()),
        (
            {"QUEUED_CONNECTION": "a", "Queued_Queue": " b ", "queued_delay": "7"},
            QueueOptions(connection="a", queue="b", delay=7),
        ),
        ({"queue": "own", "QUEUED_QUEUE": "alias", "delay": "", "QUEUED_DELAY": 4}, QueueOptions(queue="own", delay=4)),
        ('{"queue": "text", "delay": "9"}', QueueOptions(queue="text", delay=9)),
        ({"queue": 7}, QueueOptions(queue="7")),
        ("no json", QueueOptions()),
        ([], QueueOptions()),
        (None, QueueOptions()),
    ],
)
def test_options_are_read_however_they_were_written(config: JSON, expected: QueueOptions) -> None:
    assert normalise_options(config) == expected


@pytest.mark.parametrize("delay", [300, "300", 0, -1, None, "", "{slow_q}", 1.5])
def test_what_is_or_may_become_a_number_can_be_saved_as_a_delay(delay: JSON) -> None:
    check_delay(delay)


@pytest.mark.parametrize("delay", ["soon", [], {}, True, "1h", "nan"])
def test_anything_else_is_refused(delay: JSON) -> None:
    with pytest.raises(BadRequest, match="Invalid queue delay"):
        check_delay(delay)
