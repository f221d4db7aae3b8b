"""Runs every cell and prints them together. ``--quick`` is a short look, the default takes about four minutes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.acceptance.server import Server, running

from bench import http_cells, script_cells
from bench.report import show


def main() -> int:
    quick = "--quick" in sys.argv
    seconds, rounds = (2.0, 2) if quick else (6.0, 6)
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "bench.db"
        http_cells.make_rows(database)
        with running(Path(folder) / "data", str(database), "--write") as server:
            open_to_key(server)
            with http_cells.bare_handler(database) as bare:
                cells = http_cells.compare(server, bare, database, seconds=seconds, rounds=rounds)
            cells += script_cells.added_by_scripts(server, calls=200 if quick else 1000)
            script_cells.make_noop(server)
            cells.append(script_cells.pick_up(server, jobs=40 if quick else 200))
            cells.append(script_cells.accepting(server, seconds=seconds))
        with running(Path(folder) / "idle", REVERIE_WORKERS="0") as server:
            script_cells.make_noop(server)
            cells += script_cells.burn_down(server, jobs=500 if quick else 4000)
    show(cells)
    return 0


def open_to_key(server: Server) -> None:
    """The key's role may read the benched service."""
    found = server.as_admin("GET", "/api/v2/system/service?filter=name='bench'&fields=id").json["resource"]
    role = server.as_admin("GET", "/api/v2/system/role?fields=id").json["resource"][0]["id"]
    access = {"service_id": found[0]["id"], "component": "_table/*", "verb_mask": 1, "requestor_mask": 3}
    server.as_admin("PATCH", f"/api/v2/system/role/{role}", {"role_service_access_by_role_id": [access]})


if __name__ == "__main__":
    sys.exit(main())
