"""What a script has of the platform: calls inside and outside, session, settings, store, lookups, its own log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.acceptance.outside import Outside, listening
from tests.acceptance.script_stage import (
    CLIENT,
    LANGUAGES,
    ROWS,
    TABLE,
    Stage,
    asking,
    each_stage,
    scene,
)
from tests.acceptance.server import Answer, free_port, wait_for

stage = each_stage
languages = pytest.mark.parametrize("language", LANGUAGES)
HERE = f"db/_table/{TABLE}"
DEEPEST = 16


@pytest.fixture
def outside() -> Iterator[Outside]:
    with listening() as found:
        yield found


# Calls inside.


@languages
def test_a_get_of_a_table_is_a_result_map_with_the_rows(stage: Stage, language: str) -> None:
    stage.add("a", "b")

    got = stage.value(language, asking(f"get('{HERE}?order=id')", "[r]"))[0]

    assert set(got) == {"status_code", "content", "content_type", "format", "headers"}
    assert (got["status_code"], got["format"]) == (200, 201)
    assert [row["name"] for row in got["content"]["resource"]] == ["a", "b"]


@languages
def test_a_bare_object_posted_to_a_table_is_a_row(stage: Stage, language: str) -> None:
    got = stage.value(language, asking(f"post('{HERE}', {{'name': 'b'}})", "[r.status_code, r.content]"))

    (row,) = stage.rows()
    assert got == [200, {"resource": [{"id": row["id"]}]}]
    assert row["name"] == "b"


@languages
def test_a_call_to_what_is_not_there_is_an_answer_and_throws_nothing(stage: Stage, language: str) -> None:
    got = stage.value(language, asking("get('nope/x')", "[r.status_code, r.content.error.message]"))

    assert got[0] == 404
    assert "nope" in got[1]


@languages
@pytest.mark.parametrize(("requestors", "client", "script"), [(1, 200, 403), (3, 200, 200), (2, 403, 200)])
def test_a_role_tells_scripts_from_clients(
    stage: Stage, language: str, requestors: int, client: int, script: int
) -> None:
    asker = stage.service(language, asking(f"get('{HERE}')", "[r.status_code]"))
    role = stage.role(stage.access("db", requestor=requestors), stage.access(asker, requestor=CLIENT))
    app, key = stage.app()
    _, token = stage.user(app, role)
    headers = {"X-DreamFactory-API-Key": key, "X-DreamFactory-Session-Token": token}

    assert stage.server.call("GET", ROWS, headers=headers).status == client
    assert stage.server.call("GET", f"/api/v2/{asker}", headers=headers).json == [script]


@languages
def test_the_query_of_a_path_wins_over_the_parameters_of_a_call(stage: Stage, language: str) -> None:
    stage.add("a", "b", "c")
    options = "{'parameters': {'limit': 2, 'order': 'id desc'}}"
    v8js, python3, nodejs = (f"get('{HERE}?limit=1', {more})" for more in (f"null, {options}", options, options))
    texts = {"v8js": v8js, "typescript": v8js, "python3": python3, "nodejs": nodejs, "php": v8js}

    rows = stage.value(language, asking(texts[language], "r.content.resource"))

    assert [row["name"] for row in rows] == ["c"]


@languages
def test_headers_of_a_call_reach_the_request_inside(stage: Stage, language: str) -> None:
    dump = "return [event.request.headers, event.request.service, event.request.resource, event.request.uri];"
    inner = stage.service(language, scene(dump, dump))
    options = "{'headers': {'X-Note': 'kept'}}"
    first = "" if language in ("nodejs", "python3") else "null, "

    got = stage.value(language, asking(f"get('{inner}/sub', {first}{options})", "r.content"))

    assert got == [{"x-note": "kept"}, inner, "sub", f"/api/v2/{inner}/sub"]


@languages
def test_call_with_a_verb_is_the_same_as_the_verb(stage: Stage, language: str) -> None:
    stage.add("a")

    by_verb = stage.value(language, asking(f"get('{HERE}')", "[r]"))
    by_call = stage.value(language, asking(f"call('GET', '{HERE}')", "[r]"))
    posted = stage.value(language, asking(f"call('post', '{HERE}', {{'name': 'b'}})", "[r.status_code]"))

    assert by_call == by_verb
    assert posted == [200]
    assert stage.names() == ["a", "b"]


@pytest.mark.parametrize(("path", "status"), [(HERE, 200), ("nope/x", 404)])
def test_a_nodejs_callback_has_the_body_as_text_and_the_response(stage: Stage, path: str, status: int) -> None:
    answers = "function (body, res) { event.setResponse(JSON.parse(body), res.statusCode); }"

    answer = stage.run("nodejs", f"platform.api.get('{path}', '', {answers});")

    assert answer.status == status
    assert answer.json == stage.ask("GET", path).json


def test_a_python_result_reads_as_a_response_and_as_a_map(stage: Stage) -> None:
    stage.add("a")
    text = f"import json\nr = platform.api.get('{HERE}?fields=name')\n"

    got = stage.value("python3", text + "return [json.loads(r.read()), r.status, r['status_code']]")

    assert got == [{"resource": [{"name": "a"}]}, 200, 200]


# Calls outside.


@languages
def test_a_call_outside_carries_no_credentials(stage: Stage, language: str, outside: Outside) -> None:
    got = stage.value(language, asking(f"get('{outside.url}/hello')", "[r.status_code, r.content]"))

    assert got == [200, {"path": "/hello"}]
    (seen,) = outside.seen
    assert [name for name in seen.headers if name.startswith("x-dreamfactory") or name == "authorization"] == []
    assert stage.server.admin not in str(seen)


@languages
def test_a_post_outside_sends_a_structure_as_json_and_the_headers_asked_for(
    stage: Stage, language: str, outside: Outside
) -> None:
    call = f"post('{outside.url}/in', {{'a': [1]}}, {{'headers': {{'X-Note': 'sent'}}, 'parameters': {{'q': 'x y'}}}})"

    stage.value(language, asking(call, "[r.status_code]"))

    (seen,) = outside.seen
    assert (seen.method, seen.path, json.loads(seen.body)) == ("POST", "/in?q=x+y", {"a": [1]})
    assert (seen.headers["x-note"], seen.headers["content-type"]) == ("sent", "application/json")


@languages
def test_a_404_outside_is_an_answer_and_a_redirect_is_followed(stage: Stage, language: str, outside: Outside) -> None:
    missing = stage.value(language, asking(f"get('{outside.url}/missing')", "[r.status_code, r.content.error.message]"))
    moved = stage.value(language, asking(f"get('{outside.url}/moved')", "[r.status_code, r.content]"))

    assert missing == [404, '{"detail": "nope"}']
    assert moved == [200, {"path": "/there"}]


@languages
def test_a_host_that_nobody_answers_is_an_answer_and_the_script_goes_on(stage: Stage, language: str) -> None:
    call = f"get('http://127.0.0.1:{free_port()}/')"

    status, message, after = stage.value(language, asking(call, "[r.status_code, r.content.error.message, 'goes on']"))

    assert (status, after) == (502, "goes on")
    assert message


@languages
def test_the_instance_under_its_own_address_is_a_stranger(stage: Stage, language: str) -> None:
    call = f"get('{stage.server.base}{ROWS}')"

    status, message = stage.value(language, asking(call, "[r.status_code, r.content.error.message]"))

    assert status == 400
    assert "No session token (JWT) or API Key detected" in message


# Session, settings, store.


@languages
def test_the_session_names_user_role_app_and_key(stage: Stage, language: str) -> None:
    dump = scene("return platform.session;", "return platform.session")
    whoami = stage.service(language, dump)
    role = stage.role(stage.access(whoami))
    app, key = stage.app(role)
    user, token = stage.user(app, role)
    by_key = {"X-DreamFactory-API-Key": key}

    with_user = stage.server.call("GET", f"/api/v2/{whoami}", headers={**by_key, "Authorization": f"Bearer {token}"})
    without = stage.server.call("GET", f"/api/v2/{whoami}", headers=by_key)

    name = stage.ask("GET", f"system/role/{role}").json["name"]
    session = with_user.json
    assert (session["user"]["id"], session["role"]["name"], session["app"]["id"]) == (user, name, app)
    assert (session["api_key"], session["session_token"]) == (key, token)
    assert session["role"]["services"][0]["service"] == whoami
    assert "user" not in without.json
    assert (without.json["role"]["name"], without.json["api_key"]) == (name, key)
    assert without.json["session_token"] is None


@languages
def test_private_lookups_are_nowhere_in_what_a_script_sees(stage: Stage, language: str) -> None:
    shown, hidden = stage.name("shown"), stage.name("hidden")
    stage.lookup(shown, "for-all-eyes")
    stage.lookup(hidden, "for-nobodys-eyes", private=True)
    dump = scene(
        "return {all: JSON.stringify(platform), secret: typeof platform.session.lookup_secret,"
        " lookup: platform.session.lookup};",
        "import json\nreturn {'all': json.dumps(platform, default=str), 'lookup': platform.session.lookup,"
        " 'secret': 'undefined' if 'lookup_secret' not in platform.session else 'there'}",
        php="$session = $platform['session']; return ['all' => json_encode($platform), 'lookup' => $session['lookup'],"
        " 'secret' => isset($session['lookup_secret']) ? 'there' : 'undefined'];",
    )

    got = stage.value(language, dump)

    assert got["secret"] == "undefined"
    assert got["lookup"][shown] == "for-all-eyes"
    assert "for-all-eyes" in got["all"]
    assert "for-nobodys-eyes" not in got["all"]
    assert hidden not in got["lookup"]


@languages
def test_settings_are_there_under_both_names(stage: Stage, language: str) -> None:
    both = "[platform.config.api_version, platform.config.df.api_version, platform.config.resources_wrapper]"

    assert stage.value(language, scene(f"return {both};", f"return {both}")) == ["2.0", "2.0", "resource"]


@languages
def test_the_store_keeps_values_from_run_to_run_and_for_each_script_alone(stage: Stage, language: str) -> None:
    text = scene(
        "var was = platform.store.get('k', 0); platform.store.set('k', was + 1); return [was];",
        "was = platform.store.get('k', 0)\nplatform.store.set('k', was + 1)\nreturn [was]",
        "return platform.store.get('k', 0).then(function (was) {"
        " return platform.store.set('k', was + 1).then(function () { return [was]; }); });",
    )
    one, other = stage.service(language, text), stage.service(language, text)

    runs = [stage.ask("GET", name).json[0] for name in (one, one, one, other)]

    assert runs == [0, 1, 2, 0]


# Who a script is, and how deep it may go.


@languages
def test_scripts_of_an_administrator_may_call_what_no_role_allows(stage: Stage, language: str) -> None:
    lonely = stage.service(language, scene("return ['reached'];", "return ['reached']"))

    answer = stage.run(language, asking(f"get('{lonely}')", "[r.status_code, r.content]"))

    assert answer.json == [200, ["reached"]]


@languages
def test_a_script_that_calls_itself_for_ever_is_stopped_at_its_depth(stage: Stage, language: str) -> None:
    text = scene(
        f"var r = platform.api.post('{HERE}', {{name: 'again'}});"
        " event.response.content = {below: r.status_code === 200 ? r.content.below + 1 : 0,"
        " last: r.status_code === 200 ? r.content.last : r};",
        f"r = platform.api.post('{HERE}', {{'name': 'again'}})\nok = r.status_code == 200\n"
        "event.response.content = {'below': r.content.below + 1 if ok else 0, 'last': r.content.last if ok else r}",
        f"return platform.api.post('{HERE}', {{name: 'again'}}).then(function (r) {{"
        " event.response.content = {below: r.status_code === 200 ? r.content.below + 1 : 0,"
        " last: r.status_code === 200 ? r.content.last : r}; });",
        f"$r = $platform['api']->post('{HERE}', ['name' => 'again']); $ok = $r['status_code'] === 200;"
        " $event['response']['content'] = ['below' => $ok ? $r['content']['below'] + 1 : 0,"
        " 'last' => $ok ? $r['content']['last'] : $r];",
    )
    stage.on_table("post.post_process", language, text)

    answer = stage.server.as_key("POST", ROWS, {"name": "first"})

    assert answer.status == 200, answer.body
    assert answer.json["below"] == DEEPEST
    assert answer.json["last"]["status_code"] == 508
    assert answer.json["last"]["content"]["error"]["code"] == 508
    assert stage.names() == ["first", *["again"] * DEEPEST]


# Lookups.


@languages
def test_lookups_in_script_text_are_put_in_and_unknown_names_stay(stage: Stage, language: str) -> None:
    region, secret = stage.name("region"), stage.name("secret")
    stage.lookup(region, "eu-1")
    stage.lookup(secret, "hush", private=True)
    told = f"['{{{region}}}', '{{zzz}}', '{{{secret}}}']"

    assert stage.value(language, scene(f"return {told};", f"return {told}")) == ["eu-1", "{zzz}", "hush"]


@languages
def test_modifiers_and_the_users_own_fields_are_put_in(stage: Stage, language: str) -> None:
    region = stage.name("region")
    stage.lookup(region, "north sea/2")
    told = f"['{{urlencode({region})}}', '{{strtoupper({region})}}', '{{user.email}}', '{{app.id}}']"
    name = stage.service(language, scene(f"return {told};", f"return {told}"))
    role = stage.role(stage.access(name))
    app, key = stage.app()
    _, token = stage.user(app, role)
    headers = {"X-DreamFactory-API-Key": key, "X-DreamFactory-Session-Token": token}

    got = stage.server.call("GET", f"/api/v2/{name}", headers=headers).json

    assert got[:2] == ["north+sea%2F2", "NORTH SEA/2"]
    assert re.fullmatch(r"user_\w+@example\.test", got[2])
    assert got[3] == str(app)


@languages
def test_of_lookups_with_one_name_the_users_wins_then_role_app_and_system(stage: Stage, language: str) -> None:
    names = [stage.name(word) for word in ("u", "r", "a", "s")]
    holders = ("system", "app", "role", "user")
    own: dict[str, list[dict[str, str]]] = {holder: [] for holder in holders}
    for at, name in enumerate(reversed(names), start=1):
        for holder in holders[:at]:
            own[holder].append({"name": name, "value": f"of the {holder}"})
    for one in own["system"]:
        stage.lookup(one["name"], one["value"])
    told = str([f"{{{name}}}" for name in names])
    service = stage.service(language, scene(f"return {told};", f"return {told}"))
    role = stage.role(stage.access(service), lookup_by_role_id=own["role"])
    app, key = stage.app(None, lookup_by_app_id=own["app"])
    _, token = stage.user(app, role, lookup_by_user_id=own["user"])
    headers = {"X-DreamFactory-API-Key": key, "X-DreamFactory-Session-Token": token}

    got = stage.server.call("GET", f"/api/v2/{service}", headers=headers).json

    assert got == ["of the user", "of the role", "of the app", "of the system"]


@languages
def test_an_object_literal_in_script_text_stays_as_it_is(stage: Stage, language: str) -> None:
    assert stage.value(language, scene('return [{"a":1}];', 'return [{"a":1}]')) == [{"a": 1}]


# What a script prints.


def printing(text: str) -> dict[str, str]:
    return scene(
        f"console.log('{text}'); return ['body'];",
        f"print('{text}')\nreturn ['body']",
        php=f"echo '{text}', PHP_EOL; return ['body'];",
    )


def lines_about(stage: Stage, name: str) -> list[str]:
    return [line for line in stage.server.output().splitlines() if f"script=service.{name} " in line]


@languages
def test_what_a_script_prints_is_a_line_of_the_log_and_not_in_the_answer(stage: Stage, language: str) -> None:
    word = stage.name("hello")
    name = stage.service(language, printing(word))

    answer: Answer = stage.ask("GET", name)

    assert answer.json == ["body"]
    wait_for(lambda: bool(lines_about(stage, name)), 5)
    (line,) = lines_about(stage, name)
    assert " info script.output " in line
    assert word in line


@languages
def test_log_output_can_be_switched_off_for_a_call(stage: Stage, language: str) -> None:
    name = stage.service(language, printing("hello"))

    stage.ask("GET", f"{name}?log_output=false", expect=200)
    stage.ask("GET", f"{name}?log_output=true", expect=200)

    wait_for(lambda: bool(lines_about(stage, name)), 5)
    assert len(lines_about(stage, name)) == 1


@languages
def test_a_printed_line_that_looks_like_a_result_is_only_printed(stage: Stage, language: str) -> None:
    name = stage.service(language, printing('{"request": 1}'))

    answer = stage.ask("GET", name)

    assert answer.json == ["body"]
    wait_for(lambda: bool(lines_about(stage, name)), 5)
    assert '{\\"request\\": 1}' in lines_about(stage, name)[0]


@languages
def test_jobs_of_others_are_out_of_reach_for_a_script_without_the_right(stage: Stage, language: str) -> None:
    name = stage.service(language, asking("get('system/job')", "[r.status_code]"))
    role = stage.role(stage.access(name))
    app, key = stage.app()
    _, token = stage.user(app, role)
    headers = {"X-DreamFactory-API-Key": key, "X-DreamFactory-Session-Token": token}

    assert stage.server.call("GET", f"/api/v2/{name}", headers=headers).json == [403]
    assert stage.ask("GET", name).json == [200]


@languages
def test_log_output_can_be_switched_off_for_a_queued_call(stage: Stage, language: str) -> None:
    name = stage.service(language, printing("hello"), queued=True)

    for wanted in ("false", "0", "true"):
        answer = stage.ask("GET", f"{name}?log_output={wanted}", expect=202)
        stage.server.wait_for_job(answer.headers["x-reverie-job"])

    wait_for(lambda: bool(lines_about(stage, name)), 5)
    assert len(lines_about(stage, name)) == 1
