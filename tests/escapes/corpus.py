"""All attempts by language, and how several of them become one script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tests.escapes import javascript, nodejs, php, python3
from tests.escapes.attempt import Attempt

CORPUS: Final[Mapping[str, Sequence[Attempt]]] = {
    "v8js": javascript.ATTEMPTS,
    "typescript": javascript.ATTEMPTS,
    "nodejs": nodejs.ATTEMPTS,
    "python3": python3.ATTEMPTS,
    "php": php.ATTEMPTS,
}
_JAVASCRIPT: Final = """
var t = event.targets, found = {}, pending = [];
function attempt(n, body) {
  try {
    var r = body();
    if (r && typeof r.then === 'function') { pending.push(r.then(function (v) { if (v) { found[n] = String(v).slice(0, 400); } }, function () {})); }
    else if (r) { found[n] = String(r).slice(0, 400); }
  } catch (e) {}
}
%s
return Promise.all(pending).then(function () { return found; });
"""
_PYTHON: Final = """
t, found = event['targets'], {}
def attempt(n, body):
    try:
        if r := body():
            found[n] = str(r)[:400]
    except BaseException:
        pass
%s
return found
"""
_PHP: Final = """
$t = $event['targets']; $found = (object) [];
$attempt = function ($n, $body) use ($found) {
    try { if ($r = @$body()) { $found->{$n} = substr(is_scalar($r) ? (string) $r : gettype($r), 0, 400); } } catch (Throwable $e) {}
};
%s
return $found;
"""


def script(language: str, texts: Sequence[str]) -> str:
    """One script that tries all *texts* and returns what came of each that got out, by its place."""
    if language == "python3":
        bodies = [
            f"def _{at}():\n" + "\n".join(f"    {line}" for line in text.strip("\n").split("\n"))
            for at, text in enumerate(texts)
        ]
        return _PYTHON % "\n".join(f"{body}\nattempt('{at}', _{at})" for at, body in enumerate(bodies))
    if language == "php":
        parts = [f"$attempt('{at}', function () use ($t, $platform) {{ {text} }});" for at, text in enumerate(texts)]
        return _PHP % "\n".join(parts)
    return _JAVASCRIPT % "\n".join(f"attempt('{at}', function () {{ {text} }});" for at, text in enumerate(texts))
