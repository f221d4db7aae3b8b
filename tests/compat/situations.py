"""The situations: values that go through an event, and scripts that do the same in each language."""

from __future__ import annotations

from typing import Final

Texts = dict[str, str]

VALUES: Final[dict[str, str]] = {
    "null": "null",
    "true": "true",
    "false": "false",
    "zero": "0",
    "minus zero": "-0.0",
    "whole number": "42",
    "negative number": "-7",
    "largest exact double": "9007199254740991",
    "one above it": "9007199254740993",
    "largest 64 bit number": "9223372036854775807",
    "one above it, too": "9223372036854775808",
    "fraction": "1.5",
    "fraction of ten": "0.1",
    "whole fraction": "1.0",
    "large fraction": "1e+300",
    "small fraction": "1e-7",
    "seventeen digits": "0.30000000000000004",
    "empty text": '""',
    "text": '"tea"',
    "text of digits": '"007"',
    "slash": '"a/b"',
    "quotes": '"a\\"b\'c"',
    "line end": '"a\\nb\\r"',
    "zero byte": '"a\\u0000b"',
    "umlaut": '"\u00e4"',
    "emoji": '"\U0001f600"',
    "line separator": '"\u2028"',
    "less than": '"<b>&amp;"',
    "empty list": "[]",
    "list": '[1,"a",null]',
    "list of lists": "[[],[[]]]",
    "empty map": "{}",
    "map": '{"b":1,"a":2}',
    "map in a list": '[{"a":{}}]',
    "numbers as names": '{"0":"a","1":"b"}',
    "number as a name": '{"10":1,"9":2}',
    "names of the languages": '{"constructor":1,"keys":2,"length":3}',
    "empty name": '{"":1}',
}
"""As JSON; a script hands each on as it found it."""


def texts(javascript: str, python3: str, php: str, nodejs: str | None = None) -> Texts:
    return {
        "v8js": javascript,
        "typescript": javascript,
        "nodejs": javascript if nodejs is None else nodejs,
        "python3": python3,
        "php": php,
    }


def processes(nodejs: str, python3: str, php: str) -> Texts:
    return {"nodejs": nodejs, "python3": python3, "php": php}


HAND_ON: Final = texts(
    "event.back = {}; Object.keys(event.values).forEach(function (k) { event.back[k] = event.values[k]; });",
    "event.back = {}\nfor k in event['values']: event.back[k] = event['values'][k]",
    "$event['back'] = $event['values'];",
)
REST: Final = "throw new \\DreamFactory\\Core\\Exceptions\\RestException"

SITUATIONS: Final[dict[str, Texts]] = {
    "names in the event": texts("return Object.keys(event);", "return list(event)", "return array_keys($event);"),
    "an absent field": texts(
        "return typeof event.none;",
        "return event.none",
        "return gettype($event['none'] ?? null);",
    ),
    "an absent field, looked for": texts(
        "return 'none' in event;", "return 'none' in event", "return isset($event['none']);"
    ),
    "a header": texts(
        "return event.request.headers['x-a'];",
        "return event.request.headers['x-a']",
        "return $event['request']['headers']['x-a'];",
    ),
    "change a field": texts(
        "event.request.payload.n = 2;",
        "event.request.payload.n = 2",
        "$event['request']['payload']['n'] = 2;",
    ),
    "take a field away": texts(
        "delete event.request.payload.n;",
        "del event.request.payload['n']",
        "unset($event['request']['payload']['n']);",
    ),
    "add to a list": texts(
        "event.request.payload.list.push('c');",
        "event.request.payload['list'].append('c')",
        "$event['request']['payload']['list'][] = 'c';",
    ),
    "take the first of a list": texts(
        "event.request.payload.list.shift();",
        "event.request.payload['list'].pop(0)",
        "array_shift($event['request']['payload']['list']);",
    ),
    "a new event": texts(
        "event = {a: 1};",
        "event = {'a': 1}",
        "$event = ['a' => 1];",
    ),
    "return nothing": texts("var a = 1;", "a = 1", "$a = 1;"),
    "return null": texts("return null;", "return None", "return null;"),
    "return false": texts("return false;", "return False", "return false;"),
    "return an empty list": texts("return [];", "return []", "return [];"),
    "return an empty map": texts("return {};", "return {}", "return new stdClass();"),
    "return no number": texts("return [0 / 0];", "return [float('nan')]", "return [NAN];"),
    "return a date": texts(
        "return new Date(0);", "import datetime\nreturn datetime.date(1970, 1, 1)", "return new DateTime('1970-01-01');"
    ),
    "return a text": texts("return 'tea';", "return 'tea'", "return 'tea';"),
    "return an error": texts("return {error: 'no'};", "return {'error': 'no'}", "return ['error' => 'no'];"),
    "return later": {
        "v8js": "return Promise.resolve(1);",
        "typescript": "return Promise.resolve(1);",
        "nodejs": "setTimeout(function () { event.setReturn(1); }, 1);",
    },
    "throw a text": {"v8js": "throw 'no';", "typescript": "throw 'no';", "nodejs": "throw 'no';"},
    "throw an error": texts("throw new Error('no');", "raise Exception('no')", "throw new Exception('no');"),
    "throw a status": texts(
        "throw {message: 'no', status_code: 409};",
        "e = Exception('no')\ne.status_code = 409\nraise e",
        f"{REST}(409, 'no');",
    ),
    "throw a status and a code": texts(
        "throw {message: 'no', status_code: 409, code: 77};",
        "e = Exception('no')\ne.status_code = 409\ne.code = 77\nraise e",
        f"{REST}(409, 'no', 77);",
    ),
    "a mistake on line 3": texts("\n\nnull.x();", "\n\nNone.x()", "\n\nnull->x();"),
    "a mistake in the grammar, line 2": texts("var a;\nvar b = ;", "a = 1\nb = = 1", "$a = 1;\n$b = ;"),
    "call itself for ever": texts(
        "function f() { return f() + 1; } return f();", "def f(): return f() + 1\nreturn f()", ""
    ),
    "print": texts("console.log('a', 1);", "print('a', 1)", "echo 'a', 1;"),
    "print a map": texts(
        "console.log({a: [1]});", "print({'a': [1]})", "print_r(['a' => [1]]);", "console.log({a: [1]});"
    ),
    "get": texts(
        "return platform.api.get('a/b?c=1');",
        "return platform.api.get('a/b?c=1')",
        "return $platform['api']->get('a/b?c=1');",
    ),
    "what a get asks for": texts(
        "platform.api.get('a/b?c=1');", "platform.api.get('a/b?c=1')", "$platform['api']->get('a/b?c=1');"
    ),
    "what a post asks for": texts(
        "platform.api.post('a', {b: [1, {}]}, {headers: {d: 'e'}});",
        "platform.api.post('a', {'b': [1, {}]}, {'headers': {'d': 'e'}})",
        "$platform['api']->post('a', ['b' => [1, new stdClass()]], ['headers' => ['d' => 'e']]);",
    ),
    "what a text posted asks for": texts(
        "platform.api.post('a', '{\"b\": 1}');",
        "platform.api.post('a', '{\"b\": 1}')",
        "$platform['api']->post('a', '{\"b\": 1}');",
    ),
    "the store, empty": texts(
        "return platform.store.get('k', 7);",
        "return platform.store.get('k', 7)",
        "return $platform['store']->get('k', 7);",
    ),
    "the user": texts(
        "return platform.session.user.id;",
        "return platform.session.user.id",
        "return $platform['session']['user']['id'];",
    ),
    "the settings under both names": texts(
        "return [platform.config.api_version, platform.config.df.api_version];",
        "return [platform.config.api_version, platform.config.df.api_version]",
        "return [$platform['config']['api_version'], $platform['config']['df']['api_version']];",
    ),
    "names in platform": texts(
        "return Object.keys(platform).sort();",
        "return sorted(platform)",
        "ksort($platform); return array_keys($platform);",
    ),
    "end the process": processes("process.exit(3);", "import sys\nsys.exit(3)", "exit(3);"),
    "run for ever": texts("for (;;) {}", "while True: pass", "for (;;) {}"),
}
