"""`reverie up` with addresses of database servers."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from openapi_spec_validator import validate

from reverie.errors import SettingsError
from reverie.prepare import served_database
from tests.acceptance.server import Answer, Server, running
from tests.mysql_server import PASSWORD, USER, mysql_place
from tests.postgres import sample_place, shared_server


def get(server: Server, key: str, name: str, method: str = "GET", body: object = None) -> Answer:
    path = f"/api/v2/{name}/_table/tag" + ("?limit=2" if method == "GET" else "")
    return server.call(method, path, body, headers={"X-DreamFactory-API-Key": key})


def test_servers_are_served_read_only_or_for_writing_and_one_that_is_away_is_named(tmp_path: Path) -> None:
    mysql, postgresql = mysql_place(), sample_place()
    secret = quote(PASSWORD, safe="")
    addresses = [
        f"mysql://{USER}:{secret}@127.0.0.1:{mysql.config['port']}/{mysql.name}",
        shared_server().url(postgresql.name),
        "mysql://nobody:hidden@127.0.0.1:1/away",
    ]
    with running(tmp_path / "data", *addresses, REVERIE_WORKERS="0", REVERIE_DEMO="0") as server:
        printed = server.output()
        keys = dict(re.findall(r"API-Key: (\S+)' \S+/api/v2/(\w+)/_table", printed))
        read = {name: key for key, name in keys.items()}
        first = {name: get(server, key, name) for name, key in read.items()}
        refused = {name: get(server, key, name, "POST", {"label": "x"}).status for name, key in read.items()}
    with running(tmp_path / "data", *addresses[:2], "--write", REVERIE_WORKERS="0", REVERIE_DEMO="0") as server:
        again = server.output()
        services = server.as_admin("GET", "/api/v2/system/service?fields=name,type,config&filter=type like '%sql'")
        for query in ("", "?expand_schema=true"):
            validate(server.as_admin("GET", f"/api/v2/{mysql.name}/_spec{query}").json)
        spec = server.as_admin("GET", f"/api/v2/api_docs/{mysql.name}").json
        written = server.as_admin("POST", f"/api/v2/{mysql.name}/_table/tag", {"resource": [{"label": "x"}]})
    postgresql.drop()
    mysql.drop()
    # Two databases may have one name; the second service gets the next that is free.
    other = postgresql.name + ("_2" if postgresql.name == mysql.name else "")

    assert {name: answer.json["resource"][0] for name, answer in first.items()} == {
        mysql.name: {"id": 1, "label": "organic"}, other: {"id": 1, "label": "organic"},
    }  # fmt: skip
    assert {"/_proc", "/_proc/{procedure_name}", "/_func", "/_func/{function_name}"} <= set(spec["paths"])
    assert all(400 <= status < 500 for status in refused.values())
    assert "mysql://127.0.0.1:1/away cannot be reached now: Nothing answers" in printed
    assert f"is the service {mysql.name}, read-only" in printed
    assert f"is the service {mysql.name}, open for writing" in again
    assert sorted((one["name"], one["type"]) for one in services.json["resource"]) == sorted(
        [(mysql.name, "mysql"), (other, "pgsql"), ("away", "mysql")]
    )
    assert written.json == {"resource": [{"id": 4}]}
    assert not any(secret in text or PASSWORD in text or "hidden" in text for text in (printed, again))
    assert "hidden" not in services.body.decode()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("oracle://u:hidden@h/d", "mysql"),
        ("mysql://u:hidden@h", "database"),
        ("mysql://u:hidden@h/d?x=1", "'x'"),
        ("postgresql://u:hidden@h", "database"),
    ],
)
def test_an_address_that_cannot_be_served_is_told_without_its_password(given: str, named: str) -> None:
    with pytest.raises(SettingsError) as refused:
        served_database(given, write=False)

    assert named in str(refused.value)
    assert "hidden" not in str(refused.value)
