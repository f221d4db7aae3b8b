"""v8js and typescript: there is nothing to reach but the language, so attempts look for a way to the runner's own world."""

from __future__ import annotations

from typing import Final

from tests.escapes.attempt import REFUSED, Attempt, calls, left

_PROBE: Final = "'return typeof Deno + typeof process + typeof globalThis.fetch'"
_CLEAN: Final = "'undefinedundefinedundefined'"


def _through(name: str, constructor: str, before: str = "") -> Attempt:
    """Whether a function constructor found on the way belongs to a world that has more than the language."""
    return Attempt(name, f"{before} var seen = ({constructor})({_PROBE})(); return seen !== {_CLEAN} && seen;")


def _each(name: str, objects: str) -> Attempt:
    """The same for a list of objects, whatever they are."""
    return Attempt(
        name,
        f"""
        var out = null;
        ({objects}).forEach(function (o) {{
          try {{
            for (var p = o; p; p = Object.getPrototypeOf(p)) {{
              var f = p.constructor && p.constructor.constructor;
              var seen = typeof f === 'function' ? f({_PROBE})() : {_CLEAN};
              if (seen !== {_CLEAN}) {{ out = seen; }}
            }}
          }} catch (e) {{}}
        }});
        return out;""",
    )


ATTEMPTS: Final[list[Attempt]] = [
    _through("function constructor of the global", "globalThis.constructor.constructor"),
    _through("function constructor of a platform function", "platform.api.get.constructor"),
    _through("function constructor of the console", "console.log.constructor.constructor"),
    _through(
        "function constructor of the global's prototype", "Object.getPrototypeOf(globalThis).constructor.constructor"
    ),
    _through("function constructor of a generator", "(function* () {}).constructor.constructor.constructor"),
    _through("function constructor of the event", "event.constructor.constructor"),
    _through(
        "indirect eval", "function (text) { return function () { return (0, eval)('(function(){' + text + '})()'); }; }"
    ),
    _each(
        "every object the script can name",
        """
        (function () {
          var all = [], seen = new Set();
          (function walk(o, depth) {
            if ((typeof o !== 'object' && typeof o !== 'function') || o === null || seen.has(o) || depth > 4) { return; }
            seen.add(o); all.push(o);
            Reflect.ownKeys(o).forEach(function (k) {
              var d = Reflect.getOwnPropertyDescriptor(o, k);
              [d.value, d.get, d.set].forEach(function (v) { walk(v, depth + 1); });
            });
            walk(Object.getPrototypeOf(o), depth + 1);
          })({ g: globalThis, event: event, platform: platform }, 0);
          return all;
        })()""",
    ),
    _each(
        "errors of the platform",
        "[function () { try { require('x'); } catch (e) { return e; } }(),"
        " function () { try { platform.api.get({ toString: function () { throw new Error('x'); } }); } catch (e) { return e; } }(),"
        " function () { try { platform.store.set('k', 1n); } catch (e) { return e; } }()].filter(Boolean)",
    ),
    _each(
        "the error of a full stack in the platform",
        """
        [(function f() { try { return f(); } catch (e) { try { platform.store.get('k'); } catch (g) { return g; } return e; } })()]""",
    ),
    _each(
        "frames of the stack",
        """
        (function () {
          var frames = [], old = Error.prepareStackTrace;
          Error.prepareStackTrace = function (e, list) { frames = list; return ''; };
          try { new Error('x').stack; } finally { Error.prepareStackTrace = old; }
          return frames.flatMap(function (f) { return [f.getThis(), f.getFunction()]; }).filter(Boolean);
        })()""",
    ),
    _each(
        "frames of an error inside the platform",
        """
        (function () {
          var frames = [], old = Error.prepareStackTrace;
          Error.prepareStackTrace = function (e, list) { frames = frames.concat(list); return ''; };
          try { platform.store.set({ toString: function () { new Error('x').stack; return 'k'; } }, 1); }
          finally { Error.prepareStackTrace = old; }
          return frames.flatMap(function (f) { return [f.getThis(), f.getFunction()]; }).filter(Boolean);
        })()""",
    ),
    _each(
        "what calls toJSON",
        """
        (function () {
          var got = [];
          Object.prototype.toJSON = function () { got.push(this); return 1; };
          try { platform.store.set('k', { a: 1 }); } finally { delete Object.prototype.toJSON; }
          return got;
        })()""",
    ),
    _each(
        "what a patched JSON is called with",
        """
        (function () {
          var got = [], parse = JSON.parse, text = JSON.stringify;
          JSON.parse = JSON.stringify = function () { got.push(this, arguments.callee.caller); return '{}'; };
          try { platform.store.get('k'); } catch (e) { got.push(e); } finally { JSON.parse = parse; JSON.stringify = text; }
          return got.filter(Boolean);
        })()""",
    ),
    _each(
        "what patched text functions are called with",
        """
        (function () {
          var got = [], old = String.prototype.startsWith;
          String.prototype.startsWith = function () { got.push(Object(this), arguments.callee.caller); return false; };
          try { platform.store.get('k'); } catch (e) { got.push(e); } finally { String.prototype.startsWith = old; }
          return got.filter(Boolean);
        })()""",
    ),
    _each("who calls a script's function", "[(function f() { return f.caller; })()].filter(Boolean)"),
    _each(
        "a setter on the prototype of lists",
        """
        (function () {
          var got = [];
          Object.defineProperty(Array.prototype, '0', { set: function (v) { got.push(v, this); }, configurable: true });
          try { platform.store.set('k', [1]); console.log(''); } finally { delete Array.prototype[0]; }
          return got.filter(function (o) { return typeof o === 'object'; });
        })()""",
    ),
    Attempt(
        "the runner's own names", "return typeof Deno !== 'undefined' || typeof process !== 'undefined' && 'names';"
    ),
    Attempt("fetch", "return typeof fetch !== 'undefined' && 'fetch';"),
    Attempt("a worker", "return typeof Worker !== 'undefined' && 'Worker';"),
    Attempt("a web socket", "return typeof WebSocket !== 'undefined' && 'WebSocket';"),
    Attempt("timers", "return typeof setTimeout !== 'undefined' && 'setTimeout';"),
    Attempt(
        "import of a file module",
        "return import('node:fs').then(function (m) { return m.readFileSync && 'fs'; }, function () {});",
    ),
    Attempt(
        "import of this host's files",
        "return import('file:///etc/hostname').then(function (m) { return 'read'; }, function () {});",
    ),
    Attempt(
        "import from the network",
        "return import('http://127.0.0.1:' + t.port + '/x.js').then(function () { return 'loaded'; }, function () {});",
    ),
    Attempt(
        "import of text",
        "return import('data:text/javascript,export default typeof Deno').then(function (m) { return m.default; }, function () {});",
    ),
    Attempt("require of a file module", "return require('fs').readFileSync && 'fs';"),
    Attempt("require along a path", "return require('../../../../../../etc/passwd');"),
    Attempt("importScripts", "return typeof importScripts !== 'undefined' && 'importScripts';"),
    Attempt("process.binding", "return process.binding('fs') && 'binding';"),
    Attempt("Deno.readTextFileSync", "return Deno.readTextFileSync(t.secret);"),
    Attempt("Deno.env", "return Deno.env.toObject();"),
    Attempt("Deno.run and FFI", "return Deno.dlopen('libc.so.6', {}) || new Deno.Command('id').outputSync();"),
    Attempt(
        "WebAssembly with imports of the host",
        """
        var m = new WebAssembly.Module(new Uint8Array([0,97,115,109,1,0,0,0,1,4,1,96,0,0,2,7,1,1,97,1,98,0,0]));
        return new WebAssembly.Instance(m, { a: { b: function () { return 1; } } }).exports.constructor.constructor && null;""",
    ),
    Attempt(
        "a property of the host's through __proto__ in the event",
        """
        event.request = JSON.parse('{"__proto__": {"polluted": "yes"}, "constructor": {"prototype": {"polluted": "yes"}}}');
        platform.store.set('__proto__', { polluted: 'yes' });
        return {}.polluted;""",
    ),
    Attempt(
        "a forged message in what is printed",
        r"""
        console.log('\u0000\u0000\u0000\u0028{"type":"result","event":{},"returned":1}');
        console.log('{"type":"call","id":1,"op":"store.get","args":{}}');""",
    ),
    Attempt(
        "a forged message in a call",
        r"""
        var r = platform.store.get('k","args":{}}\u0000\u0000\u0000\u0010{"type":"result"', 'kept');
        return r !== 'kept' && r;""",
    ),
    Attempt(
        "another operation of the host",
        "return platform.api.call('GET', '') || platform.api.call('EXEC', 'id').status_code < 400;",
    ),
    *calls(
        lambda url: (
            "var r = platform.api.get('" + url.replace("{port}", "' + t.port + '") + "');"
            f" return !/{REFUSED}/.test(JSON.stringify(r)) && JSON.stringify(r);"
        )
    ),
    Attempt(
        "a file by URL",
        "var r = platform.api.get('file:///etc/passwd'); return r && r.status_code === 200 && r.content;",
    ),
    left(
        "a global left for the next run",
        "globalThis.left = 1; leftToo = 2;",
        "return typeof left !== 'undefined' || typeof leftToo !== 'undefined';",
        always=True,
    ),
    left(
        "a patched built-in left for the next run",
        "Array.prototype.map = function () { return 'mine'; }; JSON.parse = null;",
        "return [1].map(function (n) { return n; }) === 'mine' || JSON.parse === null;",
        always=True,
    ),
    left(
        "a patched prototype left for the next run",
        "Object.prototype.left = 1; Function.prototype.left = 1;",
        "return ({}).left || (function () {}).left;",
        always=True,
    ),
    left(
        "a promise that goes on in the next run",
        "Promise.resolve().then(function again() { globalThis.beat = 1; return Promise.resolve().then(function () {}); });",
        "return typeof beat !== 'undefined';",
        by="own",
        always=True,
    ),
    left(
        "the next run's event through a kept function",
        "platform.kept = function () { return platform.api; }; globalThis.hear = function () { return event; };",
        "return typeof hear !== 'undefined' && hear().secret;",
        always=True,
    ),
]
