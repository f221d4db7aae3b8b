"""nodejs: a script may use all of Node, so attempts are on what lies outside of its process."""

from __future__ import annotations

from typing import Final

from tests.escapes.attempt import REFUSED, Attempt, calls, left

_READ: Final = "return require('fs').readFileSync({}, 'latin1').indexOf(t.canary) >= 0 && 'read';"
_SHELL: Final = "return require('child_process').execSync({}, {{ stdio: ['ignore', 'pipe', 'ignore'] }}).toString();"
_ONCE: Final = "return new Promise(function (done) {{ {} setTimeout(done, 300); }});"


def read(name: str, path: str) -> Attempt:
    """A file that holds the canary, whatever it takes to read it."""
    return Attempt(name, _READ.format(path))


def shell(name: str, command: str) -> Attempt:
    return Attempt(name, _SHELL.format(command))


def once(name: str, text: str) -> Attempt:
    """What happens later, by calling ``done`` with what it got."""
    return Attempt(name, _ONCE.format(text))


ATTEMPTS: Final[list[Attempt]] = [
    Attempt(
        "own environment",
        "return Object.keys(process.env).some(function (n) { return /REVERIE|canary/.test(n + process.env[n]); });",
    ),
    read("environment of the instance", "'/proc/' + t.host + '/environ'"),
    read("environment of another process", "'/proc/' + t.bystander + '/environ'"),
    Attempt(
        "memory of the instance",
        "var fd = require('fs').openSync('/proc/' + t.host + '/mem', 'r'); return 'opened ' + fd;",
    ),
    Attempt(
        "memory of another script's process",
        "return t.siblings.map(function (p) { try { return require('fs').openSync('/proc/' + p + '/mem', 'r+'); } catch (e) { return 0; } }).some(Boolean);",
    ),
    Attempt("map of the instance's memory", "return require('fs').readFileSync('/proc/' + t.host + '/maps').length;"),
    Attempt(
        "descriptors of the instance",
        "return require('fs').readdirSync('/proc/' + t.host + '/fd').some(function (d) { return require('fs').readlinkSync('/proc/' + t.host + '/fd/' + d); });",
    ),
    Attempt(
        "descriptors of another script's process",
        "return t.siblings.some(function (p) { try { return require('fs').readdirSync('/proc/' + p + '/fd').some(function (d) { try { return require('fs').openSync('/proc/' + p + '/fd/' + d, 'r'); } catch (e) { return 0; } }); } catch (e) { return 0; } });",
    ),
    Attempt(
        "an inherited descriptor",
        "for (var d = 4; d < 64; d++) { try { var b = Buffer.alloc(4096); var n = require('fs').readSync(d, b, 0, 4096, 0); if (b.toString('latin1', 0, n).indexOf(t.canary) >= 0) { return 'descriptor ' + d; } } catch (e) {} }",
    ),
    read("the root of the instance by way of /proc", "'/proc/' + t.host + '/root' + t.secret"),
    read("a file of the instance", "t.secret"),
    read("a file that everyone may read", "t.open"),
    read("a file by a symlink", "(function () { require('fs').symlinkSync(t.open, 'link'); return 'link'; })()"),
    read("a file by a hard link", "(function () { require('fs').linkSync(t.open, 'hard'); return 'hard'; })()"),
    read("a file by a copy", "(function () { require('fs').copyFileSync(t.open, 'copy'); return 'copy'; })()"),
    Attempt("the settings below /etc", "return require('fs').readdirSync('/etc').length;"),
    Attempt("passwords of the system", "return require('fs').readFileSync('/etc/shadow').length;"),
    Attempt("the folder of all temporary files", "return require('fs').readdirSync('/tmp').length;"),
    Attempt(
        "a file outside of its folder", "require('fs').writeFileSync('/tmp/reverie-escape', 'x'); return 'written';"
    ),
    Attempt(
        "memory that all processes share",
        "require('fs').writeFileSync('/dev/shm/reverie-escape', 'x'); return 'written';",
    ),
    Attempt("the runner's own file", "require('fs').writeFileSync('/usr/lib/reverie-escape', 'x'); return 'written';"),
    Attempt("a signal to the instance", "return process.kill(t.host, 0);"),
    Attempt("a signal to another process", "return process.kill(t.bystander, 'SIGKILL');"),
    Attempt(
        "a signal to another script's process",
        "return t.siblings.some(function (p) { try { return process.kill(p, 'SIGKILL'); } catch (e) { return false; } });",
    ),
    Attempt("the debugger of the instance", "process._debugProcess(t.host); return 'told to listen';"),
    once(
        "the debugger of its own process, for others to find",
        "require('inspector').open(0, '127.0.0.1'); if (require('inspector').url()) { done('listening'); }",
    ),
    Attempt("another user", "process.setuid(0); return 'root';"),
    shell("root by sudo or su", "'sudo -n id || su -c id root'"),
    shell("a namespace of its own", "'unshare -r id -u'"),
    shell("a mount", "'mount -t tmpfs none . && echo mounted'"),
    shell(
        "tracing of another process",
        "'timeout 2 strace -p ' + t.bystander + ' -o /dev/stdout || timeout 2 gdb -p ' + t.bystander + ' --batch'",
    ),
    read(
        "a file by a process of its own",
        "(function () { require('child_process').execSync('cat ' + t.open + ' > out'); return 'out'; })()",
    ),
    once(
        "a connection to this host",
        "require('net').connect(t.port, '127.0.0.1', function () { done('connected'); }).on('error', done.bind(null, ''));",
    ),
    once(
        "a connection over IPv6",
        "require('net').connect(t.port, '::1', function () { done('connected'); }).on('error', done.bind(null, ''));",
    ),
    once(
        "an HTTP call of its own",
        "require('http').get('http://127.0.0.1:' + t.port, function () { done('answered'); }).on('error', done.bind(null, ''));",
    ),
    once("fetch", "fetch('http://127.0.0.1:' + t.port).then(function () { done('answered'); }, done.bind(null, ''));"),
    once(
        "a call to the metadata address of its own",
        "require('net').connect(80, '169.254.169.254').on('connect', function () { done('connected'); }).on('error', function (e) { done(/EPERM|EACCES/.test(e.code) ? '' : e.code); });",
    ),
    once(
        "a datagram",
        "var s = require('dgram').createSocket('udp4'); s.on('error', done.bind(null, '')); s.send('x', t.udp, '127.0.0.1', function (e) { done(e ? '' : 'sent'); s.close(); });",
    ),
    once(
        "a name server",
        "var r = new (require('dns').Resolver)(); r.setServers(['127.0.0.1:' + t.udp]); r.resolve4('canary.example.test', function (e) { done(e && /TIMEOUT/.test(e.code) ? 'asked' : ''); }); setTimeout(function () { r.cancel(); }, 200);",
    ),
    once(
        "a socket with a path",
        "require('net').connect(t.unix, function () { done('connected'); }).on('error', done.bind(null, ''));",
    ),
    once(
        "a socket with an abstract name",
        "require('net').connect('\\u0000' + t.abstract, function () { done('connected'); }).on('error', done.bind(null, ''));",
    ),
    once(
        "a server of its own",
        "require('http').createServer().on('error', done.bind(null, '')).listen(0, function () { done('listening'); this.close(); });",
    ),
    shell(
        "a connection by another program",
        "'python3 -c \"import socket; socket.create_connection((\\'127.0.0.1\\', ' + t.port + '), 2)\" && echo connected'",
    ),
    Attempt(
        "process.binding",
        "var b = process.binding('spawn_sync') || process.binding('fs'); return b && require('fs').readFileSync(t.open, 'latin1');",
    ),
    Attempt("a native module that reads", "process.dlopen({ exports: {} }, t.open); return 'loaded';"),
    Attempt(
        "a worker thread",
        "var w = new (require('worker_threads').Worker)('require(\"fs\").readFileSync(' + JSON.stringify(t.open) + ')', { eval: true }); return new Promise(function (done) { w.on('exit', function (code) { done(code === 0 && 'read'); }); w.on('error', function () { done(); }); });",
    ),
    Attempt(
        "a group of its own, to outlive the run",
        "var c = require('child_process').spawn('sleep', [t.marker], { detached: true, stdio: 'ignore' }); c.on('error', function () {}); c.unref();",
        find="return t.left;",
        by="own",
        alone=True,
    ),
    Attempt(
        "an orphan that outlives the run",
        "require('child_process').execSync('(sleep ' + t.marker + ' >/dev/null 2>&1 &) ; true', { stdio: 'ignore' });",
        find="return t.left;",
        by="own",
        alone=True,
    ),
    Attempt("shared memory of System V", _SHELL.format("'ipcmk -M 4096 2>/dev/null'")),
    Attempt(
        "the setting of the machine's core dumps",
        "require('fs').writeFileSync('/proc/sys/kernel/core_pattern', '|/bin/sh'); return 'written';",
    ),
    Attempt("a lower nice value and no memory killer", "require('os').setPriority(-20); return 'raised';"),
    *calls(
        lambda url: (
            "return platform.api.get('" + url.replace("{port}", "' + t.port + '") + "').then(function (r) {"
            f" return !/{REFUSED}/.test(JSON.stringify(r)) && JSON.stringify(r); }});"
        )
    ),
    left(
        "a global left for the next run",
        "globalThis.left = 1; leftToo = 2;",
        "return typeof left !== 'undefined' || typeof leftToo !== 'undefined';",
        always=True,
    ),
    left(
        "a file left for the next run",
        "require('fs').writeFileSync('left', 'x');",
        "return require('fs').existsSync('left');",
        always=True,
    ),
    left("the environment left for the next run", "process.env.LEFT = '1';", "return process.env.LEFT;", always=True),
    left(
        "a patched module, by another service's script",
        "require('fs').left = 1; process.left = 1; console.left = 1;",
        "return require('fs').left || process.left || console.left;",
    ),
    left(
        "a patched module, by another script of the service",
        "require('os').left = 1;",
        "return require('os').left;",
        by="script",
    ),
    left(
        "a patched module, by its own next run", "require('path').left = 1;", "return require('path').left;", by="own"
    ),
    left(
        "the next run's event, by another service's script",
        "require('vm').Script.prototype.runInContext = function (c) { var f = Object.getPrototypeOf(this.constructor); return function (event) { if (event.secret === 'hush') { require('fs').writeSync(1, 'HEARD'); } return 0; }; };",
        "return false;",
    ),
    left(
        "a frame forged to hear the next run's event",
        r"""
        var fs = require('fs'), text = Buffer.from('{"type":"result","event":{}}'), size = Buffer.alloc(4);
        size.writeUInt32BE(text.length); fs.writeSync(3, Buffer.concat([size, text]));
        var b = Buffer.alloc(65536), end = Date.now() + 400, got = '';
        while (Date.now() < end) { try { var n = fs.readSync(3, b, 0, b.length); got += b.toString('latin1', 0, n); } catch (e) { if (e.code !== 'EAGAIN') { break; } } if (got.indexOf('hush') >= 0) { fs.writeSync(1, 'HEARD'); break; } }""",
        "return false;",
    ),
]
