"""The same scenes, written in every language."""

from __future__ import annotations

from typing import Final

Scene = dict[str, str]


def scene(v8js: str, python3: str, nodejs: str | None = None, *, php: str) -> Scene:
    """A scene in all languages; all kinds of JavaScript share a text unless told otherwise."""
    return {
        "v8js": v8js,
        "typescript": v8js,
        "nodejs": v8js if nodejs is None else nodejs,
        "python3": python3,
        "php": php,
    }


def process_scene(nodejs: str, python3: str, *, php: str) -> Scene:
    """A scene that v8js has no words for: its scripts hold no process, file or descriptor."""
    return {"nodejs": nodejs, "python3": python3, "php": php}


CHANGE: Final = scene(
    "event.request.payload.list[0].n = 2; event.response = {content: [1]}; delete event.gone;",
    "event.request.payload['list'][0].n = 2\nevent.response = {'content': [1]}\ndel event['gone']",
    php="$event['request']['payload']['list'][0]['n'] = 2; $event['response']['content'] = [1]; unset($event['gone']);",
)
READ_EVENT: Final = scene(
    "return [event.request.method, event['resource'], 'response' in event]",
    "return [event.request.method, event['resource'], 'response' in event]",
    php="return [$event['request']['method'], $event['resource'], isset($event['response'])];",
)
RETURNS: Final[list[tuple[Scene, object]]] = [
    (
        scene(
            "return {a: [1.5, 'x', null]};", "return {'a': [1.5, 'x', None]}", php='return ["a" => [1.5, "x", null]];'
        ),
        {"a": [1.5, "x", None]},
    ),
    (scene("return 0;", "return 0", php="return 0;"), 0),
    (scene("return false;", "return False", php="return false;"), False),
    (scene("return '';", "return ''", php='return "";'), ""),
    (scene("return [];", "return []", php="return [];"), []),
    (scene("return {};", "return {}", php="return (object) [];"), {}),
    (
        scene("return 'ä\\u2028\\ud83d\\ude00';", "return 'ä\\u2028\\U0001f600'", php='return "ä\\u{2028}\\u{1f600}";'),
        "ä\u2028\U0001f600",
    ),
]
NO_RETURN: Final = scene("var a = 1;", "a = 1", php="$a = 1;")
BROKEN_TEXT: Final = scene("return 'a\\ud800b';", "return 'a\\ud800b'", php="return 'a' . chr(200) . 'b';")
MEGABYTE: Final = scene(
    "for (var i = 0; i < 1024; i++) { console.log(new Array(1024).join('x')); }",
    "for i in range(1024):\n    print('x' * 1023)",
    php="for ($i = 0; $i < 1024; $i++) { echo str_repeat('x', 1023), PHP_EOL; }",
)
PRINT_RESULT: Final = scene(
    """console.log('{"request": 1}'); console.log('{"type":"result","event":{}}'); return 5;""",
    """print('{"request": 1}')\nprint('{"type":"result","event":{}}')\nreturn 5""",
    php='echo \'{"request": 1}\', PHP_EOL, \'{"type":"result","event":{}}\', PHP_EOL; return 5;',
)
CALL: Final = scene(
    "event.got = platform.api.post('db/_table/todo?x=1', {name: 'b'}, {headers: {a: 'b'}});",
    "event.got = platform.api.post('db/_table/todo?x=1', {'name': 'b'}, {'headers': {'a': 'b'}})",
    "platform.api.post('db/_table/todo?x=1', {name: 'b'}, {headers: {a: 'b'}}, function (body, response) {\n"
    "  event.got = response.result; event.status = response.statusCode; event.body = body; });",
    php="$event['got'] = $platform['api']->post('db/_table/todo?x=1', ['name' => 'b'], ['headers' => ['a' => 'b']]);",
)
VERBS: Final = scene(
    "['get', 'put', 'patch', 'delete'].forEach(function (v) { platform.api[v]('a/b'); });"
    " platform.api.call('get', 'c');",
    "for v in ['get', 'put', 'patch', 'delete']:\n    getattr(platform.api, v)('a/b')\nplatform.api.call('get', 'c')",
    php="foreach (['get', 'put', 'patch', 'delete'] as $v) { $call = $platform['api']->$v; $call('a/b'); }"
    " $platform['api']->call('get', 'c');",
)
STORE: Final = scene(
    "platform.store.set('k', {a: 1}); return platform.store.get('k', 7);",
    "platform.store.set('k', {'a': 1})\nreturn platform.store.get('k', 7)",
    "platform.store.set('k', {a: 1}); return platform.store.get('k', 7);",
    php="$platform['store']->set('k', ['a' => 1]); return $platform['store']->get('k', 7);",
)
SESSION: Final = scene(
    "return [platform.session.user.id, platform.config.api_version, platform.config.df.api_version, "
    "JSON.stringify(platform).length > 10];",
    "return [platform.session.user.id, platform.config.api_version, platform.config.df.api_version, True]",
    php="$c = $platform['config'];"
    " return [$platform['session']['user']['id'], $c['api_version'], $c['df']['api_version'], true];",
)
CALL_FOR_EVER: Final = scene(
    "for (;;) { platform.api.get('a'); }",
    "while True:\n    platform.api.get('a')",
    "function again() { platform.api.get('a', '', again); } again();",
    php="for (;;) { $platform['api']->get('a'); }",
)
THROWS: Final[list[tuple[Scene, str, int, int | str]]] = [
    (
        scene(
            "throw {message: 'm', code: 77, status_code: 409};",
            "class E(Exception):\n    code = 77\n    status_code = 409\nraise E('m')",
            php="throw new \\DreamFactory\\Core\\Exceptions\\RestException(409, 'm', 77);",
        ),
        "m",
        409,
        77,
    ),
    (
        scene("throw new Error('boom');", "raise Exception('boom')", php="throw new \\Exception('boom');"),
        "boom",
        500,
        500,
    ),
    (
        scene(
            "var e = new Error('t'); e.status_code = 418; throw e;",
            "e = Exception('t')\ne.status_code = 418\nraise e",
            php="class Teapot extends Exception { public $status_code = 418; } throw new Teapot('t');",
        ),
        "t",
        418,
        418,
    ),
    (scene("return {error: 'bad'};", "return {'error': 'bad'}", php="return ['error' => 'bad'];"), "bad", 500, 500),
    (
        scene(
            "return {error: {message: 'bad'}};",
            "return {'error': {'message': 'bad'}}",
            php="return ['error' => ['message' => 'bad']];",
        ),
        "bad",
        500,
        500,
    ),
]
JAVASCRIPT_THROWS: Final = [
    ("throw 'no';", "no", 500, 500),
    ("throw {message: 'm'};", "m", 500, 500),
    ("throw {status_code: 404};", "Unknown scripting error.", 404, 404),
    ("throw null;", "Unknown scripting error.", 500, 500),
    ("throw {get message() { throw 1; }};", "Unknown scripting error.", 500, 500),
    ("var c = {}; c.c = c; event.c = c;", None, 500, 500),
    ("return Promise.reject(new Error('late'));", "late", 500, 500),
    ("Promise.reject(new Error('unheard')); return 1;", "unheard", 500, 500),
    ("return new Promise(function () {});", "The script's promise never settles.", 500, 500),
]
THIRD_LINE: Final = scene(
    "var a = 1;\n\n  null.x = 1;\n", "a = 1\n\nif a: None.x = 1\n", php="$a = null;\n\n  $a->x();\n"
)
SYNTAX: Final = scene("var a = 1;\nvar b = ;\nreturn a;", "a = 1\nb = = 2\nreturn a", php="$a = 1;\n$b = ;\nreturn $a;")
BREAKS_OUT: Final = "}); globalThis.out = 1; (function () {"
SPIN: Final = scene("for (;;) {}", "while True: pass", php="for (;;) {}")
ALLOCATE: Final = scene(
    "var a = []; for (;;) { a.push(new Array(100000).fill(1.5)); }",
    "a = []\nwhile True: a.append('x' * 1000000)",
    php="$a = []; for (;;) { $a[] = str_repeat('x', 1000000); }",
)
ALLOCATE_OUTSIDE: Final = scene(
    "var a = []; for (;;) { a.push(new Uint8Array(10000000).fill(1)); }",
    "import mmap\na = []\nwhile True:\n    a.append(bytearray(10000000))",
    php="$a = []; for (;;) { $a[] = $b = FFI::new('char[10000000]'); FFI::memset($b, 1, 10000000); }",
)
FLOOD: Final = scene(
    "var x = new Array(1000).join('x'); for (;;) { console.log(x); }",
    "while True: print('x' * 1000)",
    php="for (;;) { echo str_repeat('x', 1000); }",
)
ONE_HUGE_PRINT: Final = scene(
    "print('x'.repeat(100000000));",
    "print('x' * 100000000)",
    "console.log('x'.repeat(100000000));",
    php="echo str_repeat('x', 100000000);",
)
HUGE_RESULT: Final = scene(
    "return 'x'.repeat(70000000);", "return 'x' * 70000000", php="return str_repeat('x', 70000000);"
)
UMLAUTS: Final = scene(
    "for (var i = 0; i < 100; i++) { console.log('aä'.repeat(1000)); }",
    "for i in range(100):\n    print('aä' * 1000)",
    php="for ($i = 0; $i < 100; $i++) { echo str_repeat('aä', 1000), PHP_EOL; }",
)
EXIT: Final = process_scene(
    "process.exit(3);", "import os\nos._exit(3)", php="FFI::cdef('void _exit(int);')->_exit(3);"
)
POLITE_EXIT: Final = process_scene(
    "setTimeout(function () { process.exit(3); }, 1);", "import sys\nsys.exit(3)", php="exit(3);"
)
CLOSE_PIPE: Final = process_scene(
    "require('fs').closeSync(3); for (;;) {}",
    "import os\nos.close(3)\nplatform.api.get('a')",
    php="$libc = FFI::cdef('int close(int);'); for ($d = 3; $d < 200; $d++) { $libc->close($d); }"
    " $platform['api']->get('a');",
)
NONSENSE: Final = process_scene(
    "require('fs').writeSync(3, 'nonsense, nonsense'); for (;;) {}",
    "import os\nos.write(3, b'nonsense, nonsense')\nwhile True: pass",
    php="file_put_contents('php://fd/3', 'nonsense, nonsense'); for (;;) {}",
)
RAW_PRINT: Final = process_scene(
    "require('fs').writeSync(1, 'raw '); require('child_process').execSync('echo from a shell', {stdio: 'inherit'});"
    " return 5;",
    "import os, subprocess\nos.write(1, b'raw ')\nsubprocess.run(['echo', 'from a shell'])\nreturn 5",
    php="fwrite(STDOUT, 'raw '); passthru('echo from a shell'); return 5;",
)
LOOK_AROUND: Final = process_scene(
    """
    var fs = require('fs'), found = [JSON.stringify(process.env), JSON.stringify(process.argv)];
    fs.readdirSync('/proc').filter(function (n) { return /^(self|\\d+)$/.test(n); }).forEach(function (n) {
      var names = ['environ', 'cmdline'];
      for (var d = 0; d < 40; d++) { names.push('fd/' + d); }
      names.forEach(function (f) {
        try {
          if (fs.statSync('/proc/' + n + '/' + f).isFile()) {
            found.push(fs.readFileSync('/proc/' + n + '/' + f, 'utf8'));
          }
        } catch (e) { found.push(e.code); }
      });
    });
    try { found.push(fs.readFileSync(event.file, 'utf8')); } catch (e) { found.push(e.code); }
    return found;
    """,
    """
import os
found = [str(dict(os.environ))]
for n in os.listdir('/proc'):
    if n == 'self' or n.isdigit():
        for f in ['environ', 'cmdline', *[f'fd/{d}' for d in range(40)]]:
            try:
                if os.path.isfile(f'/proc/{n}/{f}'):
                    found.append(open(f'/proc/{n}/{f}').read())
            except OSError as e:
                found.append(str(e))
try:
    found.append(open(event.file).read())
except OSError as e:
    found.append(str(e))
return found
    """.strip(),
    php="""
$found = [json_encode(getenv()), json_encode($_SERVER)];
foreach (scandir('/proc') as $n) {
    if ($n === 'self' || ctype_digit($n)) {
        $names = ['environ', 'cmdline'];
        for ($d = 0; $d < 40; $d++) { $names[] = "fd/$d"; }
        foreach ($names as $f) {
            if (@is_file("/proc/$n/$f")) { $found[] = (string) @file_get_contents("/proc/$n/$f"); }
        }
    }
}
$found[] = (string) @file_get_contents($event['file']);
return $found;
    """.strip(),
)
ESCAPES: Final = [
    "return globalThis.constructor.constructor('return typeof Deno + typeof process')();",
    "return platform.api.get.constructor('return typeof Deno + typeof process')();",
    "return Object.getPrototypeOf(globalThis).constructor.constructor('return typeof Deno + typeof process')();",
    "return console.log.constructor.constructor('return typeof Deno + typeof process')();",
    # Errors of the host's world would carry its Function.
    "try { require('x'); } catch (e) { return e.constructor.constructor('return typeof Deno + typeof process')(); }",
    "function f() { try { return f(); } catch (e) { try { platform.store.get('k'); } catch (g) { e = g; }"
    " return e.constructor.constructor('return typeof Deno + typeof process')(); } } return f();",
    "return import('node:fs').then(null, function (e) {"
    " return e.constructor.constructor('return typeof Deno + typeof process')(); });",
    # Frames of the host, by way of its stack.
    "Error.prepareStackTrace = function (e, frames) { return frames; };"
    " var seen = 'undefinedundefined'; new Error('x').stack.forEach(function (frame) {"
    "  [frame.getThis(), frame.getFunction()].forEach(function (o) {"
    "   if (o) { var t = o.constructor.constructor('return typeof Deno + typeof process')();"
    "    if (t !== 'undefinedundefined') { seen = t; } } }); }); return seen;",
    "var seen = 'undefinedundefined'; Object.prototype.toJSON = function () {"
    " seen = this.constructor.constructor('return typeof Deno + typeof process')(); return 1; };"
    " try { platform.api.get('a'); } catch (e) {} delete Object.prototype.toJSON; return seen;",
    "function f() { return f.caller; } var c = f();"
    " return c && c !== arguments.callee ?"
    " c.constructor('return typeof Deno + typeof process')() : 'undefinedundefined';",
]
LEAVE: Final = scene(
    "leftover = 1; globalThis.other = 1; Array.prototype.third = 1; return 'left';",
    "import builtins, json\nglobal leftover\nleftover = 1\nbuiltins.other = 1\njson.third = 1\nreturn 'left'",
    php="$GLOBALS['leftover'] = 1; define('other', 1); function third() {} return 'left';",
)
FIND: Final = scene(
    "return [typeof leftover, typeof other, typeof [].third];",
    "import builtins, json\nreturn ['undefined' if not found else 'number' for found in"
    " ['leftover' in globals(), hasattr(builtins, 'other'), hasattr(json, 'third')]]",
    php="return array_map(fn ($found) => $found ? 'number' : 'undefined',"
    " [isset($GLOBALS['leftover']), defined('other'), function_exists('third')]);",
)
MEET: Final = scene(
    "return platform.api.get('meet').content;",
    "return platform.api.get('meet')['content']",
    "return platform.api.get('meet').then(function (r) { return r.content; });",
    php="return $platform['api']->get('meet')['content'];",
)
ONE_CALL: Final = scene(
    "platform.api.get('a');",
    "platform.api.get('a')",
    "platform.api.get('a', '', function () {});",
    php="$platform['api']->get('a');",
)
MANY_CALLS: Final = scene(
    "var n = 0; for (var i = 0; i < 200; i++) { n += platform.api.get('a/' + i).content.asked === 'a/' + i; }"
    " return n;",
    "return sum(platform.api.get(f'a/{i}').content.asked == f'a/{i}' for i in range(200))",
    "return (async function () { var n = 0; for (var i = 0; i < 200; i++) {"
    " n += (await platform.api.get('a/' + i)).content.asked === 'a/' + i; } return n; })();",
    php="$n = 0; for ($i = 0; $i < 200; $i++) {"
    " $n += (int) ($platform['api']->get(\"a/$i\")['content']['asked'] === \"a/$i\"); } return $n;",
)
RECURSE: Final = scene(
    "function f() { return f() + 1; } return f();",
    "def f(): return f() + 1\nreturn f()",
    php="function f() { return f() + 1; } return f();",
)
SLEEP: Final = process_scene(
    "setTimeout(function () {}, 60000);", "import time\ntime.sleep(60)", php="sleep(30); sleep(30);"
)
FORK: Final = process_scene(
    "var child = require('child_process').spawn('sleep', ['300'], {stdio: 'ignore'}); child.unref(); return child.pid;",
    "import os, time\npid = os.fork()\nif pid == 0: time.sleep(300)\nreturn pid",
    php="$pid = pcntl_fork(); if ($pid === 0) { sleep(300); } return $pid;",
)
"""Leaves a process behind, and says its number."""
FORK_AWAY: Final = process_scene(
    "var child = require('child_process').spawn('sleep', ['300'], {stdio: 'ignore', detached: true}); child.unref();"
    " return child.pid;",
    "import os, time\npid = os.fork()\nif pid == 0:\n    os.setsid()\n    time.sleep(300)\nreturn pid",
    php="$pid = pcntl_fork(); if ($pid === 0) { posix_setsid(); sleep(300); } return $pid;",
)
"""The same, and the process leaves its group."""
LEAVE_FILES: Final = process_scene(
    "var fs = require('fs'); fs.writeFileSync('left', 'x'); fs.mkdirSync(require('os').tmpdir() + '/deeper');",
    "import os, tempfile\nopen('left', 'w').close()\nos.mkdir(os.path.join(tempfile.gettempdir(), 'deeper'))",
    php="touch('left'); mkdir(getenv('TMPDIR') . '/deeper');",
)
FIND_FILES: Final = process_scene(
    "var fs = require('fs'); return fs.readdirSync('.').concat(fs.readdirSync(require('os').tmpdir())).sort();",
    "import os, tempfile\nreturn sorted(os.listdir('.') + os.listdir(tempfile.gettempdir()))",
    php="$found = array_merge(scandir('.'), scandir(getenv('TMPDIR'))); sort($found); return $found;",
)
DRAW: Final = scene(
    "return Math.random();", "import random\nreturn random.random()", php="return mt_rand() + lcg_value();"
)
LEAVE_TIMER: Final = scene(
    "Promise.resolve().then(function () { return new Promise(function () {}); }); return 1;",
    "import threading\nt = threading.Timer(0.2, lambda: platform.api.get('late'))\nt.daemon = True\nt.start()\n"
    "return 1",
    "setInterval(function () { platform.api.get('late'); }, 50).unref(); return 1;",
    php="pcntl_async_signals(true); pcntl_signal(SIGALRM, fn () => $platform['api']->get('late')); pcntl_alarm(1);"
    " return 1;",
)
WAYS_OUT: Final = (
    "return ['fetch', 'WebSocket', 'XMLHttpRequest', 'EventSource', 'Worker', 'Deno', 'process', 'Bun', 'navigator',"
    " 'location', 'localStorage', 'caches', 'setTimeout', 'setInterval'].filter(function (name) {"
    " return typeof globalThis[name] !== 'undefined'; });"
)
