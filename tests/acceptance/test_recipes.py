"""The recipes of docs/howto/scripts-<language>.md, straight from the pages, on a real server with the sample."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.script_stage import Stage, error
from tests.acceptance.server import Answer, JSONValue, Server, wait_for

PAGES: Final = Path(__file__).parents[2] / "docs" / "howto"
LANGUAGES: Final = {"v8js": "v8js", "typescript": "typescript", "nodejs": "nodejs", "python": "python3", "php": "php"}
"""Types by the name of their page."""
HEADING: Final = re.compile(r"^## \d+\. (.+)$", re.MULTILINE)
EVENT: Final = re.compile(r"^Event: `([^`]+)`(, may change the event)?\.$", re.MULTILINE)
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DB: Final = "/api/v2/db/_table"


@dataclass(frozen=True)
class Recipe:
    """One recipe of one page; *event* is None for a service."""

    title: str
    event: str | None
    may_modify: bool
    text: str


def recipes_of(page: str) -> dict[str, Recipe]:
    _, *parts = HEADING.split((PAGES / f"scripts-{page}.md").read_text())
    found = {}
    for title, section in zip(parts[::2], parts[1::2], strict=True):
        event, [block] = EVENT.search(section), BLOCK.findall(section)
        found[title] = Recipe(title, event[1] if event else None, bool(event and event[2]), block[1])
    return found


RECIPES: Final = {page: recipes_of(page) for page in LANGUAGES}


@dataclass
class Kitchen:
    """A recipe at work, and what the checks need."""

    stage: Stage
    language: str
    recipe: Recipe
    made: list[int]

    def ask(self, method: str, path: str, body: JSONValue = None, *, expect: int | None = None) -> Answer:
        """With the key of the sample."""
        answer = self.stage.server.as_key(method, f"{DB}/{path}", body)
        assert expect is None or answer.status == expect, (answer.status, answer.body)
        return answer

    def add_product(self, **fields: JSONValue) -> Answer:
        answer = self.ask("POST", "product?fields=*", {"resource": [{"name": "Rye", "unit_price": 3, **fields}]})
        if answer.status == 200:
            self.made += [row["id"] for row in answer.json["resource"]]
        return answer


@pytest.fixture
def stage(server: Server) -> Iterator[Stage]:
    one = Stage(server)
    yield one
    one.clear()


def refuses_what_is_not_valid(kitchen: Kitchen) -> None:
    bad = {"name": "Rye", "unit_price": -1}
    for body in ({"resource": [bad]}, [bad], bad, {"resource": [{"name": "Rye"}]}):
        answer = kitchen.ask("POST", "product", body)
        assert answer.status == 422, answer.body
        assert error(answer)["message"] == "unit_price must be more than 0."
    assert kitchen.add_product().status == 200


def fills_in_a_default(kitchen: Kitchen) -> None:
    [row] = kitchen.add_product().json["resource"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", row["added_on"])
    [row] = kitchen.add_product(added_on="2024-05-02").json["resource"]
    assert row["added_on"] == "2024-05-02"
    answer = kitchen.ask("POST", "product?fields=*", {"name": "Oat", "unit_price": 1}, expect=200)
    one = answer.json["resource"][0] if "resource" in answer.json else answer.json
    kitchen.made.append(one["id"])
    assert one["added_on"]


def hides_a_field(kitchen: Kitchen) -> None:
    rows = kitchen.ask("GET", "customer", expect=200).json["resource"]
    assert rows
    assert all("credit_limit" not in row and row["company"] for row in rows)
    seen = kitchen.stage.server.as_admin("GET", f"{DB}/customer").json["resource"]
    assert all("credit_limit" in row for row in seen)


def adds_a_computed_column(kitchen: Kitchen) -> None:
    rows = kitchen.ask("GET", "product", expect=200).json["resource"]
    assert rows
    assert all(row["stock_value"] == pytest.approx(row["unit_price"] * row["in_stock"], abs=0.006) for row in rows)
    some = kitchen.ask("GET", "product?fields=name", expect=200).json["resource"]
    assert all("stock_value" not in row for row in some)


def adds_what_belongs_to_it(kitchen: Kitchen) -> None:
    rows = kitchen.ask("GET", "orders?order=id&limit=3", expect=200).json["resource"]
    assert [row["company"] for row in rows] == ["Alfka Delikatessen", "Alfka Delikatessen", "Blue Corner Cafe"]
    assert kitchen.ask("GET", "orders?filter=id<0", expect=200).json["resource"] == []


def calls_another_server(kitchen: Kitchen) -> None:
    with hook() as (url, posted):
        kitchen.stage.lookup("stock_hook", url)
        kitchen.add_product(sku="HOOK-1")
        kitchen.ask("POST", "product", {"resource": [{"name": None}]})
    assert [json.loads(body)["made"]["resource"][0]["sku"] for body in posted] == ["HOOK-1"]


def does_it_later(kitchen: Kitchen) -> None:
    sku = f"L-{kitchen.language}"
    query = f"stock_event?filter=sku='{sku}'"
    kitchen.add_product(sku=sku, in_stock=12)
    wait_for(lambda: bool(kitchen.ask("GET", query).json["resource"]), 20)
    [noted] = kitchen.ask("GET", query).json["resource"]
    assert noted["delta"] == 12
    jobs = kitchen.stage.ask("GET", f"system/job?filter=script%3D%27{kitchen.recipe.event}%27").json["resource"]
    kitchen.stage.server.wait_for_job(max(jobs, key=lambda job: str(job["id"]))["id"])


def fails_with_a_status_of_its_own(kitchen: Kitchen) -> None:
    [row] = kitchen.add_product(in_stock=5).json["resource"]
    answer = kitchen.ask("DELETE", f"product/{row['id']}", expect=409)
    assert error(answer)["message"] == "Rye is in stock, so it stays."
    assert error(answer)["code"] in ("in_stock", 409001)
    kitchen.ask("PATCH", f"product/{row['id']}", {"in_stock": 0}, expect=200)
    kitchen.ask("DELETE", f"product/{row['id']}", expect=200)


def shows_people_their_own_records(kitchen: Kitchen) -> None:
    stage = kitchen.stage
    app_id, key = stage.app()
    user_id, token = stage.user(app_id, stage.role(stage.access("db")))
    employee = {"id": user_id, "first_name": "Ada", "last_name": "Berg"}
    stage.server.as_key("POST", f"{DB}/employee", {"resource": [employee]})
    order = {"customer_code": "ALFKA", "employee_id": user_id, "ordered_at": "2024-05-02 09:00:00", "freight": 2}
    [made] = kitchen.ask("POST", "orders", {"resource": [order]}, expect=200).json["resource"]
    headers = {"X-DreamFactory-API-Key": key, "X-DreamFactory-Session-Token": token}
    try:
        assert kitchen.ask("GET", "orders").status == 401
        everything = stage.server.as_admin("GET", f"{DB}/orders").json["resource"]
        mine = [row["id"] for row in everything if row["employee_id"] == user_id]
        assert made["id"] in mine
        assert len(mine) < len(everything)
        for query, body in (
            ("", None),
            ("?filter=id>0", None),
            ("?filter=id>0) or (id>0", None),
            ("?ids=1,2,3", None),
            ("?order=id&limit=100", None),
            ("", {"filter": "id>0"}),
            ("", {"ids": [1, 2, 3]}),
        ):
            rows = stage.server.call("GET", f"{DB}/orders{query}", body, headers=headers).json["resource"]
            assert sorted(row["id"] for row in rows) == sorted(mine), (query, body)
        page = stage.server.call("GET", f"{DB}/orders?limit=1&order=id desc", headers=headers).json["resource"]
        assert [row["id"] for row in page] == [max(mine)]
    finally:
        kitchen.ask("DELETE", f"orders/{made['id']}", expect=200)
        stage.server.as_key("DELETE", f"{DB}/employee?filter=id={user_id} and first_name='Ada'")


def remembers_between_calls(kitchen: Kitchen) -> None:
    name = kitchen.stage.service(kitchen.language, kitchen.recipe.text)
    first = kitchen.stage.server.as_admin("GET", f"/api/v2/{name}").json
    kitchen.add_product()
    second = kitchen.stage.server.as_admin("GET", f"/api/v2/{name}").json
    assert (first["remembered"], second["remembered"]) == (False, True)
    assert first["products"] == second["products"] > 5


CHECKS: Final[dict[str, Callable[[Kitchen], None]]] = {
    "Refuse what is not valid": refuses_what_is_not_valid,
    "Fill in a default": fills_in_a_default,
    "Hide a field": hides_a_field,
    "Add a computed column": adds_a_computed_column,
    "Add what belongs to it": adds_what_belongs_to_it,
    "Call another server": calls_another_server,
    "Do it later": does_it_later,
    "Fail with a status of your own": fails_with_a_status_of_its_own,
    "Show people their own records": shows_people_their_own_records,
    "Remember between calls": remembers_between_calls,
}


def test_every_page_has_the_same_ten_recipes_on_the_same_events() -> None:
    wanted = [(one.title, one.event, one.may_modify) for one in RECIPES["v8js"].values()]

    assert [title for title, _, _ in wanted] == list(CHECKS)
    for page in LANGUAGES:
        assert [(one.title, one.event, one.may_modify) for one in RECIPES[page].values()] == wanted, page


@pytest.mark.parametrize("page", LANGUAGES)
@pytest.mark.parametrize("title", CHECKS)
def test_a_recipe_does_what_its_page_says(stage: Stage, page: str, title: str) -> None:
    recipe, language = RECIPES[page][title], LANGUAGES[page]
    types = [one["name"] for one in stage.ask("GET", "system/script_type").json["resource"]]
    if language not in types:
        reason = f"no runtime for {language} on this machine"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    kitchen = Kitchen(stage, language, recipe, [])
    if recipe.event is not None:
        stage.event_script(recipe.event, language, recipe.text, allow_event_modification=recipe.may_modify)
    try:
        CHECKS[title](kitchen)
    finally:
        stage.clear()
        for made in kitchen.made:
            assert kitchen.ask("DELETE", f"product/{made}").status in (200, 404)


@contextmanager
def hook() -> Iterator[tuple[str, list[bytes]]]:
    """A server on this machine that takes what is posted."""
    posted: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/stock", posted
        finally:
            server.shutdown()
            thread.join(5)
