"""What scripts of each language `require`: files of the library, packages, lodash; and that nothing of it stays."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reverie.errors import ScriptError
from reverie.scripting.engine import Engine
from reverie.scripting.engines import deno, nodejs
from reverie.scripting.library import PACKAGES
from tests.contract.engine_stage import Platform, need, pids, play, still_works

pytestmark = pytest.mark.anyio

OUT_OF_REACH = "try {{ return require('{name}'); }} catch (e) {{ return e.message; }}"
TELLS = "return typeof Deno + typeof process"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The library of an instance: as private as its data folder is."""
    made = tmp_path / "data" / "scripts"
    made.mkdir(parents=True)
    made.chmod(0o755)
    made.parent.chmod(0o700)
    return made


@pytest.fixture(scope="module", params=["v8js", "typescript"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    need(request.param)
    made = deno.DenoEngine(typed=request.param == "typescript", size=1)
    yield made
    await made.close()


@pytest.fixture
async def node(folder: Path) -> AsyncIterator[Engine]:
    need("nodejs")
    made = nodejs.NodeEngine(size=1, modules=(folder, PACKAGES))
    yield made
    await made.close()


def put(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".js")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


# v8js and typescript


async def test_lodash_is_required_under_its_old_name(engine: Engine, folder: Path) -> None:
    text = (
        "var _ = require('lodash.min.js'); return [_.VERSION.split('.')[0], _.sum([1, 2, 3]), _.chunk([1, 2, 3], 2)];"
    )

    for _ in range(2):
        assert (await play(engine, text, host=Platform(folder))).returned == ["4", 6, [[1, 2], [3]]]


async def test_modules_of_the_library_require_one_another_and_are_made_once_in_a_run(
    engine: Engine, folder: Path
) -> None:
    put(folder, tax="exports.rate = 19; require('./lib/count').n += 1;", lib__count="module.exports = {n: 1};")
    put(folder, lib__both="exports.tax = require('tax.js').rate; exports.same = require('./count');")
    (folder / "rates.json").write_text('{"a": [1, null]}')
    (folder / "typed.ts").write_text("enum Size { S, L }\nexports.size = (Size.L as number);")
    text = (
        "var both = require('lib/both'); require('tax'); var same = both.same === require('lib/count');"
        " return [both.tax, both.same.n, same, require('rates.json').a, require('typed.ts').size];"
    )

    for _ in range(2):
        assert (await play(engine, text, host=Platform(folder))).returned == [19, 2, True, [1, None], 1]


async def test_modules_that_require_one_another_in_a_circle_see_what_is_there_so_far(
    engine: Engine, folder: Path
) -> None:
    put(folder, a="exports.first = 1; exports.of_b = require('b').of_a;", b="exports.of_a = require('a').first;")

    assert (await play(engine, "return require('a').of_b;", host=Platform(folder))).returned == 1


async def test_a_changed_module_counts_in_the_next_run(engine: Engine, folder: Path) -> None:
    host = Platform(folder)
    seen = []
    for number in (1, 2):
        put(folder, tax=f"module.exports = [{number}];")
        seen.append((await play(engine, "return require('tax');", host=host)).returned)

    assert seen == [[1], [2]]


async def test_what_is_not_in_the_library_says_what_is(engine: Engine, folder: Path) -> None:
    (folder.parent / "secret.js").write_text("module.exports = 'canary';")
    (folder / "link.js").symlink_to(folder.parent / "secret.js")
    for name in (
        "fs",
        "node:fs",
        "../secret.js",
        "link.js",
        str(folder.parent / "secret.js"),
        "npm:x",
        "http://x/y.js",
    ):
        told = (await play(engine, OUT_OF_REACH.format(name=name), host=Platform(folder))).returned
        assert str(told).startswith(f"require('{name}'): "), told
        assert "REVERIE_SCRIPT_LIBRARY" in str(told)
        assert "canary" not in str(told)


async def test_an_error_in_a_module_is_the_scripts_and_names_the_line_that_required_it(
    engine: Engine, folder: Path
) -> None:
    put(folder, throws="\n\nthrow new Error('from the module');", script="\n\n\n\nthrow new Error('named alike');")
    put(folder, broken="var = 1;")
    for name, message in (
        ("throws", "from the module"),
        ("script", "named alike"),
        ("broken", "broken.js: SyntaxError: "),
    ):
        with pytest.raises(ScriptError) as caught:
            await play(engine, f"\nrequire('{name}');", host=Platform(folder))
        assert caught.value.message.startswith(message)
        assert caught.value.line == 2
    await still_works(engine)


async def test_no_object_of_the_runner_is_in_reach_through_require(engine: Engine, folder: Path) -> None:
    made = f"function (o) {{ return o.constructor.constructor('{TELLS}')(); }}"
    put(folder, made=f"module.exports = [require, module, exports].map({made});")
    put(folder, broken="var = 1;")
    attempts = [
        f"return require.constructor('{TELLS}')();",
        "return require('made').join('');",
        f"try {{ require('nope'); }} catch (e) {{ return e.constructor.constructor('{TELLS}')(); }}",
        f"try {{ require('broken'); }} catch (e) {{ return e.constructor.constructor('{TELLS}')(); }}",
        f"try {{ require({{toString: function () {{ throw new Error('x'); }} }}); }} catch (e) {{"
        f" return e.constructor.constructor('{TELLS}')(); }}",
        # The end of the stack, reached at every place on the way; further from it nothing ends.
        "var seen = 'undefinedundefined', left = 500; function f() { try { f(); } catch (e) {}"
        " if ((left -= 1) > 0) try { require('lodash.min.js'); }"
        f" catch (e) {{ var t = e.constructor.constructor('{TELLS}')();"
        " if (t !== 'undefinedundefined') { seen = t; } } } f(); return seen;",
    ]
    for text in attempts:
        returned = "undefined"
        with contextlib.suppress(ScriptError):  # the stack ended in the middle of a message: the child is gone
            outcome = await play(engine, text, host=Platform(folder))
            returned = str(outcome.returned)
        assert returned.replace("undefined", "") == "", text
    await still_works(engine)


async def test_what_a_script_does_to_a_module_is_gone_in_the_next_run(engine: Engine, folder: Path) -> None:
    host = Platform(folder)
    put(folder, state="module.exports = {runs: 0};")
    text = "var s = require('state'); s.runs += 1; var _ = require('lodash.min.js'); var was = _.mine; _.mine = 1;"
    text += " return [s.runs, was === undefined];"

    for _ in range(3):
        assert (await play(engine, text, host=host)).returned == [1, True]


# nodejs


def package(folder: Path, name: str, text: str) -> None:
    made = folder / "node_modules" / name
    made.mkdir(parents=True)
    (made / "package.json").write_text(f'{{"name": "{name}", "version": "1.0.0", "main": "main.js"}}')
    (made / "main.js").write_text(text)


async def test_nodejs_has_lodash_and_the_packages_of_the_instance(node: Engine, folder: Path) -> None:
    package(folder, "inner", "exports.word = 'inner';")
    package(folder, "outer", "exports.word = 'outer ' + require('inner').word;")
    text = "var _ = require('lodash'); var o = require('outer');"
    text += " return [_.sum([1, 2]), require('lodash/chunk')([1], 1), o.word];"

    for _ in range(2):
        assert (await play(node, text)).returned == [3, [[1]], "outer inner"]


async def test_a_package_of_the_instance_comes_before_ours(node: Engine, folder: Path) -> None:
    package(folder, "lodash", "exports.mine = true;")

    assert (await play(node, "return require('lodash').mine;")).returned is True


async def test_a_package_that_is_not_there_is_an_error_that_shows_no_path_of_ours(node: Engine, folder: Path) -> None:
    with pytest.raises(ScriptError, match=r"^Cannot find module 'nobody-has-it'$") as caught:
        await play(node, "\nrequire('nobody-has-it');")

    assert caught.value.line == 2
    assert (await play(node, "return require.resolve('fs');")).returned == "fs"


async def test_what_a_nodejs_script_does_to_packages_and_to_node_is_gone_in_the_next_run(
    node: Engine, folder: Path
) -> None:
    package(folder, "state", "exports.runs = 0;")
    text = "var s = require('state'); s.runs += 1; var _ = require('lodash'); var was = _.mine; _.mine = 1;"
    text += " return [s.runs, was === undefined];"
    for _ in range(3):
        assert (await play(node, text)).returned == [1, True]


@pytest.mark.parametrize(
    ("mark", "found"),
    [
        ("require('fs').readFileSync = function () { return 'patched'; };",
         "String(require('fs').readFileSync).indexOf('patched') >= 0"),
        ("require('http').Agent.prototype.mine = 1;", "'mine' in require('http').Agent.prototype"),
        ("Buffer.from = null;", "Buffer.from === null"),
        ("Buffer.prototype.mine = 1;", "'mine' in Buffer.prototype"),
        ("URL.mine = 1;", "'mine' in URL"),
        ("process.mine = 1;", "'mine' in process"),
        ("console.log = 1;", "console.log === 1"),
        ("Buffer.constructor('return this')().mine = 1;", "Buffer.constructor('return typeof mine')() !== 'undefined'"),
        ("process.on('exit', function () {}); process.env.MINE = '1'; process.chdir('/');",
         "process.listenerCount('exit') > 0 || 'MINE' in process.env || process.cwd() === '/'"),
        ("var t = setInterval(function () { Buffer.ticks = 1; }, 1); t.unref();", "'ticks' in Buffer"),
    ],
)  # fmt: skip
async def test_a_nodejs_script_finds_node_as_it_was(node: Engine, mark: str, found: str) -> None:
    await play(node, mark)
    for _ in range(2):
        assert (await play(node, f"return {found};")).returned is False


async def test_a_nodejs_script_that_changes_nothing_keeps_its_process(node: Engine) -> None:
    text = "console.log('a'); require('fs').readdirSync('.'); require('path'); Buffer.from('a').toString('base64');"
    text += " new URL('http://a/b').host; structuredClone({a: 1}); return new TextEncoder().encode('a').length;"
    await play(node, text)
    before = pids(node)

    for _ in range(5):
        assert (await play(node, text)).returned == 1

    assert pids(node) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root")
async def test_a_nodejs_script_of_root_reaches_its_packages_and_nothing_beside_them(node: Engine, folder: Path) -> None:
    (folder.parent / "secret").write_text("canary")
    package(folder, "mine", "exports.a = 1;")
    text = """
    var fs = require('fs'), found = [require('mine').a, process.getuid()];
    ['230/../secret', '230/node_modules/../../secret', '231/../runner.py'].forEach(function (path) {
      try { found.push(fs.readFileSync('/proc/self/fd/' + path, 'utf8')); } catch (e) { found.push(e.code); }
    });
    return found;
    """

    assert (await play(node, text)).returned == [1, 65534, "EACCES", "EACCES", "ENOENT"]
