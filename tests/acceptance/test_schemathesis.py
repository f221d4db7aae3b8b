"""What the 3.1 document of a database service says is what schemathesis finds, request by generated request."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.server import Server, running
from tests.postgres import sample_place

FULL = os.environ.get("REVERIE_TEST_PROFILE") == "full"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def two_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the sample as `db`, a file, and as `pg`; what is generated changes and drops what it finds."""
    place = sample_place()
    with running(tmp_path_factory.mktemp("generated") / "data", REVERIE_WORKERS="0") as server:
        record = {"name": "pg", "label": "Sample", "type": "pgsql", "is_active": True, "config": place.config}
        made = server.as_admin("POST", "/api/v2/system/service", {"resource": [record]})
        assert made.status == 201, made.body
        yield server
    place.drop()


@pytest.mark.parametrize("service", ["db", "pg"])
def test_every_answer_is_one_that_the_document_describes(
    two_databases: Server, tmp_path: Path, service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = f"{two_databases.base}/api/v2/{service}"
    har = tmp_path / "calls.har"
    much = ["--phases", "examples,coverage,fuzzing", "-n", "20"]
    little = ["--phases", "fuzzing", "-n", "4", "--include-path-regex", "/(tag|order_item)($|/)"]
    ran = subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"),
            *(f"{base}/_spec?expand_schema=true", "--url", base, "-c", CHECKS, "--report-har-path", str(har)),
            *("-H", f"X-DreamFactory-Session-Token: {two_databases.admin}", "--seed", "6", "--no-color"),
            *("--generation-database", "none", "--continue-on-failure", "--warnings", "off"),
            *(much if FULL else little),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=3000 if FULL else 240,
    )
    calls = json.loads(har.read_text("utf-8"))["log"]["entries"] if har.exists() else []
    statuses = collections.Counter(call["response"]["status"] // 100 for call in calls)

    with capsys.disabled():
        print(f"\nschemathesis on {service}: {dict(sorted(statuses.items()))} calls by hundreds of their status")
    failures = ran.stdout.partition("= FAILURES =")[2] or ran.stdout
    assert ran.returncode == 0, failures[:6000] + ran.stderr[-2000:]
    assert statuses[2] > sum(statuses.values()) * 0.1
    assert statuses[2] + statuses[4] == sum(statuses.values()) > 100
