"""What a script may use: the instance's word, and its own."""

from __future__ import annotations

import pytest

from reverie.errors import BadRequest, ScriptError
from reverie.events.limits import Allowance, allowance_of, check_limits, hosts_of
from reverie.model import JSON
from reverie.scripting.engine import Limits

INSTANCE = Allowance(
    limits=Limits(wall=60, cpu=50, memory=256, output=1000, calls=10),
    isolation="service",
    hosts=hosts_of(["a.example.test"]),
)


def test_a_script_that_says_nothing_has_what_the_instance_gives() -> None:
    assert allowance_of({"queue": "slow"}, INSTANCE, timeout=None) == INSTANCE


def test_a_script_states_some_and_keeps_the_rest() -> None:
    found = allowance_of({"Limits": {"wall": 5, "memory": "64", "hosts": []}}, INSTANCE, timeout=None)

    assert found.limits == Limits(wall=5, cpu=50, memory=64, output=1000, calls=10)
    assert found.hosts == ()


def test_a_job_may_take_as_long_as_its_worker_lets_it_or_less_if_its_script_says_so() -> None:
    def wall_and_cpu(config: dict[str, JSON], timeout: float) -> tuple[float, float]:
        limits = allowance_of(config, INSTANCE, timeout=timeout).limits
        return limits.wall, limits.cpu

    assert wall_and_cpu({}, 300) == (300, 300)
    assert wall_and_cpu({}, 0) == (float("inf"), float("inf"))
    assert wall_and_cpu({"limits": {"wall": 20}}, 300) == (20, 300)
    assert wall_and_cpu({"limits": {"wall": 900}}, 300) == (300, 300)
    assert wall_and_cpu({"limits": {"wall": 900, "cpu": 7}}, 0) == (900, 7)


@pytest.mark.parametrize(
    ("asked", "had"),
    [("instance", "service"), ("service", "service"), ("script", "script"), ("run", "run"), ("", "service")],
)
def test_a_script_is_isolated_more_than_the_instance_says_and_never_less(asked: str, had: str) -> None:
    assert allowance_of({"isolation": asked}, INSTANCE, timeout=None).isolation == had


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"limits": {"wall": 0}}, "limits"),
        ({"limits": {"wal": 5}}, "wal"),
        ({"limits": {"memory": "much"}}, "memory"),
        ({"limits": [1]}, "limits"),
        ({"limits": {"hosts": ["http://a.example.test/x"]}}, "is no host such as"),
        ({"limits": {"hosts": "a.example.test"}}, "hosts"),
        ({"isolation": "none"}, "instance, service, script, run"),
        ({"isolation": ["run"]}, "instance, service, script, run"),
    ],
)
def test_what_cannot_be_kept_is_refused_when_it_is_saved_and_does_not_run(config: dict[str, JSON], told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        check_limits(config)
    with pytest.raises(ScriptError, match=told):
        allowance_of(config, INSTANCE, timeout=None)
