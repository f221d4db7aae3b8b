"""Reads the checklist's lines and compares answers with them; README.md has the grammar."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.server import Answer

FILE = Path(__file__).with_name("data-plane.txt")
_LINE = re.compile(r"(\d{3}) (?:((?:cfg|role|cred):\S+) )?(.*)")
_ENGINES = re.compile(r" @([spm]+)$")
_METHOD = re.compile(r"(GET|POST|PUT|PATCH|DELETE|MERGE) (.*)")
_FILTERED = "_table/product?fields=id&order=id&filter="
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, kw_only=True)
class Step:
    """One request and what must come back; `expect` empty means any 2xx."""

    method: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    expect: str = ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A line; `same_on` are engines for which its note says that the outcome is the same as on those named."""

    number: str
    text: str
    prefix: str
    steps: tuple[Step, ...]
    engines: str
    note: str

    def runs_on(self, engine: str) -> bool:
        full = {"s": "SQLite", "p": "PostgreSQL", "m": "MySQL"}[engine]
        return engine in self.engines or self.note.startswith(f"{full}: same")


def cases(file: Path = FILE) -> Iterator[Case]:
    """Every case, in order."""
    shared: dict[str, str] = {}
    for line in file.read_text("utf-8").splitlines():
        if line.startswith("let "):
            name, _, steps = line.removeprefix("let ").partition(" = ")
            shared[name] = steps
        elif found := _LINE.fullmatch(line):
            number, prefix, rest = found.groups()
            text, _, note = rest.partition(" // ")
            engines = _ENGINES.search(text)
            text = _ENGINES.sub("", text)
            for name, steps in shared.items():
                text = text.replace(name, steps)
            yield Case(
                number=number,
                text=rest,
                prefix=prefix or "",
                steps=tuple(_step(one) for one in text.split(" ;; ")),
                engines=engines[1] if engines else "spm",
                note=note,
            )


def _step(text: str) -> Step:
    text = text.partition(" ==ref ")[0]
    request, _, expect = text.partition(" => ")
    if request.startswith("F "):
        return Step(method="GET", path=_FILTERED + request.removeprefix("F "), expect=expect)
    found = _METHOD.fullmatch(request)
    if found is None:
        raise ValueError(f"no request: {request!r}")
    rest, headers = found[2], {}
    if (at := rest.find(" H:{")) >= 0:
        rest, headers = rest[:at], json.loads(rest[at + 3 :])
    path, body, kind = _path_and_body(rest)
    if body is not None:
        headers = {"Content-Type": kind} | headers
    return Step(method=found[1], path=path, body=body, headers=headers, expect=expect)


def _path_and_body(text: str) -> tuple[str, bytes | None, str]:
    """A body begins at the first `` {``, `` [``, `` "`` or `` <`` from which on everything is one value."""
    for found in re.finditer(r" (?=[\[{\"<])", text):
        path, body = text[: found.start()], text[found.end() :]
        if "?" in path and path.endswith(("in", "=", "like", "and", "or")):
            continue
        if body.startswith('"'):
            try:
                value, end = _DECODER.raw_decode(body)
            except ValueError:
                continue
            if end == len(body):
                return path, str(value).encode(), "text/plain"
            continue
        return path, body.encode(), "application/xml" if body.startswith("<") else "application/json"
    return text, None, ""


# -- what came back


def differences(answer: Answer, expect: str, note: str) -> str:
    """What is wrong with an answer; ``""`` when nothing is."""
    status = 200
    if found := re.match(r"(\d{3})(?: |$)", expect):
        status, expect = int(found[1]), expect[len(found[0]) :]
    if found := re.fullmatch(r"E(\d{3})", expect):
        return _error(answer, int(found[1]), int(found[1]))
    if expect == "4xx":
        return _error(answer, 400, 499)
    if expect.startswith("EB["):
        return _batch_error(answer, expect)
    if not expect:
        wrong = answer.status != status if found else not 200 <= answer.status < 300
        return f"status {answer.status}: {answer.body[:300]!r}" if wrong else ""
    if answer.status != status:
        return f"status {answer.status} instead of {status}: {answer.body[:300]!r}"
    kind, _, value = expect.partition(" ")
    match kind:
        case "ids":
            ids = [] if value == "-" else [{"id": int(one)} for one in value.split(",")]
            return _unequal(answer.json, {"resource": ids})
        case "R":
            return _unequal(answer.json, {"resource": json.loads(value)}, any_order="any order" in note)
        case "=":
            return _unequal(answer.json, json.loads(value), any_order="any order" in note)
        case "~":
            return _unequal(answer.json, json.loads(value), more_keys=True)
        case "raw" | "disp":
            return _raw(answer, kind, value)
        case _:
            raise ValueError(f"no expectation: {expect!r}")


def _unequal(got: Any, wanted: Any, *, any_order: bool = False, more_keys: bool = False, at: str = "$") -> str:
    if wanted == "*":
        return ""
    if isinstance(wanted, dict) and isinstance(got, dict):
        if not more_keys and got.keys() != wanted.keys():
            return f"{at}: keys {sorted(got)} instead of {sorted(wanted)}"
        for key, value in wanted.items():
            if key not in got:
                return f"{at}: {key} is missing"
            if said := _unequal(got[key], value, any_order=any_order, more_keys=more_keys, at=f"{at}.{key}"):
                return said
        return ""
    if isinstance(wanted, list) and isinstance(got, list):
        if len(got) != len(wanted):
            return f"{at}: {len(got)} entries instead of {len(wanted)}: {got}"
        if any_order:
            got, wanted = (sorted(one, key=lambda entry: json.dumps(entry, sort_keys=True)) for one in (got, wanted))
        pairs = enumerate(zip(got, wanted, strict=True))
        found = (_unequal(*pair, any_order=any_order, more_keys=more_keys, at=f"{at}[{i}]") for i, pair in pairs)
        return next((one for one in found if one), "")
    same = got == wanted and isinstance(got, bool) == isinstance(wanted, bool)
    return "" if same else f"{at}: {got!r} instead of {wanted!r}"


def _error(answer: Answer, lowest: int, highest: int) -> str:
    if not lowest <= answer.status <= highest:
        return f"status {answer.status}: {answer.body[:300]!r}"
    error = answer.json.get("error", {})
    if error.keys() != {"code", "context", "message", "status_code"} or error["status_code"] != answer.status:
        return f"no error of the standard form: {answer.body[:300]!r}"
    return ""


def _batch_error(answer: Answer, expect: str) -> str:
    failed, _, entries = expect.removeprefix("EB").partition(" ")
    error = answer.json.get("error", {}) if answer.status == 400 else {}
    if error.get("code") != 1000 or error.get("context", {}).get("error") != json.loads(failed):
        return f"status {answer.status}: {answer.body[:500]!r}"
    got, wanted = error["context"]["resource"], entries.split("; ")
    if len(got) != len(wanted):
        return f"{len(got)} entries instead of {len(wanted)}: {got}"
    for one, what in zip(got, wanted, strict=True):
        inner = one.get("code") if isinstance(one, dict) else None
        if what == "sql":
            said = "" if isinstance(inner, int) and 400 <= inner < 500 else f"{one} is no refusal"
        elif what.isdigit():
            said = "" if inner == int(what) and len(one) == 4 else f"{one} is no error {what}"
        else:
            said = _unequal(one, json.loads(what))
        if said:
            return said
    return ""


def _raw(answer: Answer, kind: str, value: str) -> str:
    type_, _, text = value.partition(" ")
    wanted = json.loads(text)
    got_type = answer.headers.get("content-type", "").partition(";")[0]
    if type_ not in ("*", got_type):
        return f"Content-Type {got_type!r}"
    if kind == "disp":
        got = answer.headers.get("content-disposition", "")
        return "" if got == wanted else f"Content-Disposition {got!r}"
    body = answer.body.decode()
    if type_ == "application/xml":
        same = _canonical(body) == _canonical(wanted)
    else:
        same = body.rstrip("\n") == wanted.rstrip("\n")
    return "" if same else f"body {body!r}"


def _canonical(text: str) -> str:
    return ET.canonicalize(text, strip_text=True)
