"""php: a script may use all of PHP, its FFI among it, so attempts are on what lies outside of its process."""

from __future__ import annotations

from typing import Final

from tests.escapes.attempt import REFUSED, Attempt, calls, left

_LIBC: Final = (
    "$c = FFI::cdef('int ptrace(long, int, void *, void *); int unshare(int); int mount(char *, char *, char *, unsigned long, void *);"
    " int chroot(char *); int shmget(int, unsigned long, int); int msgget(int, int); int prctl(int, unsigned long, void *,"
    " unsigned long, unsigned long); long syscall(long, ...); int setsid(void); int kill(int, int); int socket(int, int, int);"
    " int fork(void);"
    " void _exit(int); int getppid(void); int setuid(int);'); "
)


def read(name: str, path: str, before: str = "") -> Attempt:
    """A file that holds the canary, whatever it takes to read it."""
    return Attempt(name, f"{before} return strpos((string) file_get_contents({path}), $t['canary']) !== false;")


def kernel(name: str, call: str) -> Attempt:
    """A call of the system that gives 0 or more if it is let through."""
    return Attempt(name, f"{_LIBC} return {call} >= 0;")


ATTEMPTS: Final[list[Attempt]] = [
    Attempt(
        "own environment",
        "$all = json_encode([getenv(), $_ENV, $_SERVER]); return strpos($all, 'canary') !== false || strpos($all, 'REVERIE') !== false;",
    ),
    read("environment of the instance", "\"/proc/{$t['host']}/environ\""),
    read("environment of another process", "\"/proc/{$t['bystander']}/environ\""),
    Attempt("memory of the instance", "return fopen(\"/proc/{$t['host']}/mem\", 'r');"),
    Attempt("memory of the runner that forked it", "return fopen('/proc/' . posix_getppid() . '/mem', 'r+');"),
    Attempt(
        "memory of another script's process",
        "foreach ($t['siblings'] as $p) { if (fopen(\"/proc/$p/mem\", 'r+')) { return $p; } }",
    ),
    Attempt("map of the instance's memory", "return file_get_contents(\"/proc/{$t['host']}/maps\");"),
    Attempt(
        "descriptors of the instance",
        "foreach (scandir(\"/proc/{$t['host']}/fd\") ?: [] as $d) { if (ctype_digit($d) && readlink(\"/proc/{$t['host']}/fd/$d\")) { return $d; } }",
    ),
    Attempt(
        "an inherited descriptor",
        "for ($d = 4; $d < 200; $d++) { $f = fopen(\"php://fd/$d\", 'r'); if ($f && stream_set_blocking($f, false) && strpos((string) fread($f, 4096), $t['canary']) !== false) { return $d; } }",
    ),
    read("the root of the instance by way of /proc", "\"/proc/{$t['host']}/root{$t['secret']}\""),
    read("a file of the instance", "$t['secret']"),
    read("a file that everyone may read", "$t['open']"),
    read("a file by a symlink", "'link'", "symlink($t['open'], 'link');"),
    read("a file by a hard link", "'hard'", "link($t['open'], 'hard');"),
    read("a file by a copy", "'copy'", "copy($t['open'], 'copy');"),
    read(
        "a file by a stream of another kind",
        "'php://filter/read=convert.base64-decode|convert.base64-encode/resource=file://' . $t['open']",
    ),
    read("a file by a program", "'out'", "shell_exec('cat ' . $t['open'] . ' > out');"),
    Attempt(
        "a file by include", "ob_start(); include $t['open']; return strpos(ob_get_clean(), $t['canary']) !== false;"
    ),
    Attempt("the settings below /etc", "return scandir('/etc');"),
    Attempt("passwords of the system", "return file_get_contents('/etc/shadow');"),
    Attempt("the folder of all temporary files", "return scandir('/tmp');"),
    Attempt("a file outside of its folder", "return file_put_contents('/tmp/reverie-escape', 'x');"),
    Attempt("memory that all processes share", "return file_put_contents('/dev/shm/reverie-escape', 'x');"),
    kernel("shared memory of System V", "$c->shmget(0x5245, 4096, 950)"),
    kernel("a queue of System V", "$c->msgget(0x5245, 950)"),
    kernel("the user's keyring", "$c->syscall(250, 0, -4, 1)"),
    kernel("tracing of the runner", "$c->ptrace(16, $c->getppid(), null, null)"),
    kernel("tracing of the instance", "$c->ptrace(16, $t['host'], null, null)"),
    kernel(
        "tracing of another script's process",
        "max(array_map(fn ($p) => $c->ptrace(16, $p, null, null), $t['siblings'] ?: [1]))",
    ),
    kernel("memory by process_vm_readv", "$c->syscall(310, $t['bystander'], 0, 0, 0, 0, 0)"),
    kernel("a signal to the instance", "$c->kill($t['host'], 0)"),
    kernel("a signal to another process", "$c->kill($t['bystander'], 9)"),
    Attempt(
        "a signal to another script's process",
        "foreach ($t['siblings'] as $p) { if (posix_kill($p, SIGKILL)) { return $p; } }",
    ),
    kernel("another user", "$c->setuid(0)"),
    Attempt(
        "root by sudo or su",
        "return trim((string) shell_exec('(sudo -n id || su -c id root) 2>/dev/null < /dev/null'));",
    ),
    kernel("a namespace of its own", "$c->unshare(0x10000000)"),
    kernel("a mount", "$c->mount('none', '.', 'tmpfs', 0, null)"),
    kernel("another root folder", "$c->chroot('.')"),
    kernel("a ring of calls past the filter", "$c->syscall(425, 1, FFI::addr($b = $c->new('char[120]')))"),
    kernel("a program for the kernel", "$c->syscall(321, 5, FFI::addr($b = $c->new('char[120]')), 120)"),
    kernel("numbers of another kind of machine", "$c->syscall(0x40000000 + 41, 2, 1, 0)"),
    kernel("life beyond its parent's", "-abs($c->prctl(1, 0, null, 0, 0))"),
    Attempt("a native extension", "return dl($t['open']);"),
    Attempt("a library of its own by FFI", "return FFI::cdef('int x(void);', $t['open']);"),
    Attempt(
        "other settings of PHP",
        "ini_set('open_basedir', ''); ini_set('disable_functions', ''); return file_get_contents($t['secret']);",
    ),
    Attempt(
        "proc_open",
        "$p = proc_open(['cat', $t['open']], [1 => ['pipe', 'w'], 2 => ['pipe', 'w']], $pipes); return strpos((string) stream_get_contents($pipes[1]), $t['canary']) !== false;",
    ),
    Attempt("a connection to this host", "return fsockopen('127.0.0.1', $t['port'], $n, $e, 1);"),
    Attempt("a connection over IPv6", "return fsockopen('[::1]', $t['port'], $n, $e, 1);"),
    Attempt(
        "an HTTP call of its own",
        "return file_get_contents(\"http://127.0.0.1:{$t['port']}/\", false, stream_context_create(['http' => ['timeout' => 1]]));",
    ),
    Attempt(
        "a call to the metadata address of its own",
        "fsockopen('169.254.169.254', 80, $n, $e, 0.2); return !in_array($n, [0, 1, 13]) && $e;",
    ),
    Attempt("a datagram", "$s = stream_socket_client(\"udp://127.0.0.1:{$t['udp']}\"); return $s && fwrite($s, 'x');"),
    Attempt("a socket with a path", "return stream_socket_client('unix://' . $t['unix']);"),
    Attempt("a socket with an abstract name", "return stream_socket_client(\"unix://\\0{$t['abstract']}\");"),
    Attempt("a server of its own", "return stream_socket_server('tcp://127.0.0.1:0');"),
    kernel("a socket by FFI", "$c->socket(2, 1, 0)"),
    kernel("a group of its own, to outlive the run", "$c->setsid()"),
    Attempt(
        "a daemon",
        "return posix_setsid() > 0 || shell_exec('setsid sleep ' . $t['marker'] . ' > /dev/null 2>&1 & echo started') === 'never';",
        find="return $t['left'];",
        by="own",
        alone=True,
    ),
    Attempt(
        "an orphan that outlives the run",
        "shell_exec('(sleep ' . $t['marker'] . ' > /dev/null 2>&1 &)');",
        find="return $t['left'];",
        by="own",
        alone=True,
    ),
    Attempt(
        "an orphan that outlives the runner",
        "shell_exec('(sleep ' . $t['marker'] . ' > /dev/null 2>&1 &)'); posix_kill(posix_getppid(), SIGKILL);",
        find="return $t['left'];",
        by="own",
        alone=True,
    ),
    *calls(
        lambda url: (
            "$r = json_encode($platform['api']->get(\""
            + url.replace("{port}", "{$t['port']}")
            + f"\"), JSON_UNESCAPED_SLASHES); return preg_match('/{REFUSED}/', $r) ? false : $r;"
        )
    ),
    left(
        "a global left for the next run",
        "$GLOBALS['left'] = 1; define('LEFT', 1); function left_behind() {}",
        "return isset($GLOBALS['left']) || defined('LEFT') || function_exists('left_behind');",
        always=True,
    ),
    left("a file left for the next run", "file_put_contents('left', 'x');", "return file_exists('left');", always=True),
    left("the environment left for the next run", "putenv('LEFT=1');", "return getenv('LEFT');", always=True),
    left(
        "a handler left for the next run",
        "set_error_handler(function () { echo 'HEARD'; }); register_shutdown_function(function () { echo 'HEARD'; }); stream_wrapper_unregister('file');",
        "return !in_array('file', stream_get_wrappers());",
        always=True,
    ),
    Attempt(
        "a frame forged to hear the next run's event",
        r"""
$w = fopen('php://fd/3', 'r+b');
foreach (['{"type":"result","event":{}}', '{"type":"ended","code":0}'] as $body) { fwrite($w, pack('N', strlen($body)) . $body); }
stream_set_blocking($w, false);
for ($end = microtime(true) + 0.6; microtime(true) < $end; usleep(5000)) {
    if (strpos((string) fread($w, 65536), 'hush') !== false) { fwrite(STDOUT, 'HEARD'); sleep(5); }
}""",
        find="return false;",
        by="own",
        alone=True,
    ),
    Attempt(
        "a fork that hears the next run's event",
        r"""
if (pcntl_fork() === 0) {
    $w = fopen('php://fd/3', 'r+b');
    stream_set_blocking($w, false);
    for ($end = microtime(true) + 0.6; microtime(true) < $end; usleep(5000)) {
        if (strpos((string) fread($w, 65536), 'hush') !== false) { fwrite(STDOUT, 'HEARD'); sleep(5); }
    }
    posix_kill(posix_getpid(), SIGKILL);
}""",
        find="return false;",
        by="own",
        alone=True,
    ),
]
