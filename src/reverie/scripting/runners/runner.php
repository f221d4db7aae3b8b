<?php
// Runs php scripts, over frames on descriptor 3 (see wire.py).
// A warm parent forks a child while nothing is to do. That child takes the next run, does it, and ends; so nothing of a
// script is left for the next one. The parent tells of its end. A child that has nothing to do yet plays a run of our own,
// so that the memory it will write to is its own already.
//
// The exception classes at the end bear the names that scripts throw them by.

namespace Reverie {

    const HOST_GONE = 71;
    const LARGEST = 67108864; // bytes of a message
    const DEEPEST = 4096; // of what JSON may nest
    const LULL = 500; // microseconds without a run, after which a child rehearses; under load the next one is here sooner
    const REHEARSAL = '{"event":{"request":{"payload":{"resource":[{"id":1,"name":"row 1"},{"id":2,"name":"row 2"},'
        . '{"id":3,"name":"row 3"}]},"headers":{}}},"platform":{"session":{"user":{"id":1}},"config":{"api_version":"2.0"}},'
        . '"script":"foreach ($event[\'request\'][\'payload\'][\'resource\'] as $n => $row) { $row[\'seen\'] = $n > 1;'
        . ' $event[\'request\'][\'payload\'][\'resource\'][$n] = $row; } return [\'seen\' => true];"}';
    const KEPT = JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION
        | JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR;

    final class Wire
    {
        private $stream;
        private int $asked = 0;

        public function __construct()
        {
            $this->stream = fopen('php://fd/3', 'r+b');
            stream_set_read_buffer($this->stream, 0);
            stream_set_write_buffer($this->stream, 0);
        }

        public function send(array $message): void
        {
            $body = json_encode($message, KEPT, DEEPEST);
            if ($body === false || strlen($body) > LARGEST) {
                $body = '{"type":"error","message":"The script left or sent more than 64 MiB."}';
            }
            $data = pack('N', strlen($body)) . $body;
            for ($sent = 0; $sent < strlen($data); $sent += $written) {
                $written = @fwrite($this->stream, substr($data, $sent, 1 << 20));
                if ($written === false || $written === 0) {
                    leave(HOST_GONE);
                }
            }
        }

        // Whether a message comes before long; also when there is nobody any more who could send one.
        public function isSpokenTo(): bool
        {
            [$read, $write, $other] = [[$this->stream], null, null];
            return @stream_select($read, $write, $other, 0, LULL) !== 0;
        }

        public function receive(): string
        {
            return $this->read(unpack('N', $this->read(4))[1]);
        }

        private function read(int $count): string
        {
            $data = '';
            while (strlen($data) < $count) {
                $part = @fread($this->stream, $count - strlen($data));
                if ($part === false || $part === '') {
                    leave(HOST_GONE);
                }
                $data .= $part;
            }
            return $data;
        }

        public function ask(string $op, array $args): mixed
        {
            $this->asked++;
            $this->send(['type' => 'call', 'id' => $this->asked, 'op' => $op, 'args' => (object) $args]);
            return decode($this->receive())['value'] ?? null;
        }
    }

    // Functions as methods and as values: `$api->get(..)` and `$get = $api->get; $get(..)` are both in use.
    final class Functions
    {
        public function __construct(array $functions)
        {
            foreach ($functions as $name => $function) {
                $this->{$name} = $function;
            }
        }

        public function __call(string $name, array $arguments): mixed
        {
            if (!isset($this->{$name})) {
                throw new \BadMethodCallException("there is no $name here, only " . implode(', ', array_keys(get_object_vars($this))));
            }
            return ($this->{$name})(...$arguments);
        }
    }

    function decode(string $text, bool $maps = true): mixed
    {
        return json_decode($text, $maps, DEEPEST, JSON_BIGINT_AS_STRING | JSON_INVALID_UTF8_SUBSTITUTE);
    }

    // An array of PHP does not know whether it was {} or []: where it was {} and still is empty, it is {} again.
    function as_it_was(mixed $value, mixed $was): mixed
    {
        if ($value === [] && $was instanceof \stdClass) {
            return $was == new \stdClass() ? $was : new \stdClass();
        }
        if (is_array($value) && (is_array($was) || $was instanceof \stdClass)) {
            // {"0": ..} is as little a list as it was.
            $numbered = $was instanceof \stdClass && array_is_list((array) $was) && (array) $was !== [];
            $was = (array) $was;
            foreach ($value as $name => $item) {
                if (is_array($item) && array_key_exists($name, $was)) {
                    $value[$name] = as_it_was($item, $was[$name]);
                }
            }
            if ($numbered && array_is_list($value)) {
                return (object) $value;
            }
        }
        return $value;
    }

    function platform(array $given, Wire $wire): array
    {
        $call = function ($verb, $path, $payload = null, $options = null) use ($wire) {
            $options = is_array($options) || is_object($options) ? (object) $options : new \stdClass();
            $args = ['verb' => strtoupper((string) $verb), 'path' => (string) $path, 'payload' => $payload, 'options' => $options];
            return $wire->ask('api', $args);
        };
        $api = ['call' => $call];
        foreach (['get', 'post', 'put', 'patch', 'delete'] as $verb) {
            $api[$verb] = fn ($path, $payload = null, $options = null) => $call($verb, $path, $payload, $options);
        }
        $config = $given['config'] ?? null;
        if (is_array($config)) {
            $config['df'] = $config;
        }
        return [
            'api' => new Functions($api),
            'session' => $given['session'] ?? null,
            'config' => $config,
            'store' => new Functions([
                'get' => fn ($key, $default = null) => $wire->ask('store.get', ['key' => (string) $key, 'default' => $default]),
                'set' => fn ($key, $value = null) => $wire->ask('store.set', ['key' => (string) $key, 'value' => $value]),
            ]),
        ];
    }

    // The script's own scope: it sees $event and $platform, and what it leaves in $event counts.
    function perform(string $__text, array &$event, array $platform): mixed
    {
        return (static function () use ($__text, &$event, $platform) {
            return eval($__text);
        })();
    }

    const SCRIPT = __FILE__ . '(' . (__LINE__ - 4) . ") : eval()'d code";

    // What keeps the text from running, and what the compiler warns of. It is compiled behind a `return`, so nothing of it
    // runs; where something must come first in a text, it is only parsed.
    function checked(string $text): array
    {
        $found = [];
        set_error_handler(function ($level, $message, $file, $line) use (&$found) {
            $found[] = ['line' => $line, 'column' => null, 'message' => $message, 'severity' => 'warning'];
            return true;
        });
        $text = preg_replace_callback('/^\s*<\?(php\b|(?=\s))/', fn ($tag) => preg_replace('/\S/', ' ', $tag[0]), $text);
        try {
            $tokens = \PhpToken::tokenize("<?php $text", TOKEN_PARSE);
            $first = array_filter($tokens, fn ($token) => $token->is([T_NAMESPACE, T_DECLARE]));
            $first === [] ? compiled($text) : null;
        } catch (\Throwable $error) {
            $column = column_of("<?php $text", $error);
            $place = ['line' => $error->getLine(), 'column' => $column === null || $error->getLine() > 1 ? $column : $column - 6];
            $found[] = [...$place, 'message' => $error->getMessage(), 'severity' => 'error'];
        }
        return $found;
    }

    function compiled(string $__text): void
    {
        eval("return; $__text\n;");
    }

    const COMPILED = __FILE__ . '(' . (__LINE__ - 3) . ") : eval()'d code";

    // PHP tells no column, but the token that it did not expect: the first of its kind in the line that draws the complaint.
    function column_of(string $source, \Throwable $error): ?int
    {
        if (!preg_match('/unexpected [^"]*"(.+?)"(,|$)|Unmatched \'(.)\'/s', $error->getMessage(), $told)) {
            return null;
        }
        $wanted = $told[3] ?? $told[1];
        foreach (\PhpToken::tokenize($source) as $token) {
            if ($token->line !== $error->getLine() || trim($token->text, '\'"') !== trim($wanted, '\'"')) {
                continue;
            }
            try {
                \PhpToken::tokenize(substr($source, 0, $token->pos + strlen($token->text)), TOKEN_PARSE);
            } catch (\ParseError $early) {
                if ($early->getMessage() === $error->getMessage()) {
                    $above = strrpos(substr($source, 0, $token->pos), "\n");
                    $start = $above === false ? 0 : $above + 1;
                    return 1 + preg_match_all('/./us', substr($source, $start, $token->pos - $start));
                }
            }
        }
        return null;
    }

    function failure(\Throwable $error): array
    {
        return [
            'type' => 'error',
            'message' => $error->getMessage() !== '' ? $error->getMessage() : get_class($error),
            'kind' => $error instanceof \ParseError ? 'SyntaxError' : (new \ReflectionClass($error))->getShortName(),
            'line' => line_of($error),
            'status_code' => simple(method_exists($error, 'getStatusCode') ? $error->getStatusCode() : ($error->status_code ?? null)),
            'code' => simple($error->getCode() ?: null),
        ];
    }

    function simple(mixed $value): int|float|string|null
    {
        return is_int($value) || is_float($value) || is_string($value) ? $value : null;
    }

    function line_of(\Throwable $error): ?int
    {
        if ($error->getFile() === SCRIPT) {
            return $error->getLine();
        }
        foreach ($error->getTrace() as $step) {
            if (($step['file'] ?? '') === SCRIPT) {
                return $step['line'];
            }
        }
        return null;
    }

    // What ends PHP without an exception: no memory, or a mistake that it finds while it runs.
    function fatal(): ?array
    {
        $error = error_get_last();
        if ($error === null || !($error['type'] & (E_ERROR | E_CORE_ERROR | E_COMPILE_ERROR | E_PARSE | E_USER_ERROR))) {
            return null;
        }
        $memory = str_contains($error['message'], 'Allowed memory size') || str_contains($error['message'], 'Out of memory');
        return [
            'type' => 'error',
            'message' => str_replace([SCRIPT . ':', COMPILED . ':'], 'line ', strtok($error['message'], "\n")),
            'kind' => $memory ? 'MemoryError' : 'Error',
            'line' => in_array($error['file'], [SCRIPT, COMPILED], true) ? $error['line'] : null,
        ];
    }

    // Have the kernel refuse what a filter names, which is given in hexadecimal; nothing where there is none.
    function lock(\FFI $libc, string $text): void
    {
        if ($text === '') {
            return;
        }
        $bytes = hex2bin($text);
        $steps = $libc->new('unsigned char[' . strlen($bytes) . ']');
        \FFI::memcpy($steps, $bytes, strlen($bytes));
        $filter = $libc->new('struct filter');
        $filter->length = intdiv(strlen($bytes), 8);
        $filter->steps = $libc->cast('unsigned char *', \FFI::addr($steps));
        if ($libc->prctl(22, 2, \FFI::addr($filter), 0, 0) !== 0) { // PR_SET_SECCOMP
            leave(70);
        }
    }

    function take_one(Wire $wire, \FFI $libc, int $parent, string $filter): void
    {
        $libc->prctl(1, 9, null, 0, 0); // PR_SET_PDEATHSIG, SIGKILL
        if (posix_getppid() !== $parent) {
            leave(HOST_GONE);
        }
        posix_setpgid(0, 0);
        lock($libc, $filter);
        if (!$wire->isSpokenTo()) {
            rehearse($wire);
        }
        $text = $wire->receive();
        $message = decode($text);
        $me = posix_getpid();
        $wire->send(['type' => 'started', 'pid' => $me]);
        limit_memory($libc, $message['memory']);
        set_error_handler(function ($level, $text, $file, $line) {
            if (error_reporting() & $level) {
                fwrite(STDERR, "Warning: $text on line $line\n");
            }
            return true;
        });
        register_shutdown_function(function () use ($wire, $me) {
            ini_set('memory_limit', '-1');
            $answer = fatal();
            if ($answer !== null && posix_getpid() === $me) {
                $wire->send($answer);
                leave(0);
            }
        });
        $answer = $message['type'] === 'check'
            ? ['type' => 'result', 'event' => new \stdClass(), 'returned' => checked($message['script'])]
            : run($message, decode($text, false)->event, platform($message['platform'], $wire));
        if (posix_getpid() === $me) {
            $wire->send($answer);
        }
        leave(0); // also for a fork that the script made and that has come this far
    }

    // Do what every run does, on an event of our own; nothing of it is left, and nothing is sent.
    function rehearse(Wire $wire): void
    {
        $message = decode(REHEARSAL);
        $answer = run($message, decode(REHEARSAL, false)->event, platform($message['platform'], $wire));
        json_encode($answer, KEPT, DEEPEST);
    }

    function limit_memory(\FFI $libc, int $allowed): void
    {
        $limit = memory_get_usage(true) + $allowed * 1048576;
        ini_set('memory_limit', (string) $limit);
        $used = (int) (explode(' ', file_get_contents('/proc/self/statm'))[5]) * 4096;
        $both = $libc->new('unsigned long[2]');
        $both[0] = $both[1] = $used + ($allowed + 32) * 1048576; // the other libraries of PHP do not ask its own limit
        $libc->setrlimit(2, \FFI::addr($both[0])); // RLIMIT_DATA
    }

    function run(array $message, mixed $was, array $platform): array
    {
        $event = $message['event'];
        $text = preg_replace('/^\s*<\?(php\b|(?=\s))/', '', $message['script']);
        if (!empty($message['platform']['trace'])) {
            ob_start(traced(...), 1);
        }
        try {
            $returned = trim($text) === '' ? null : perform($text, $event, $platform); // of nothing, eval makes false
        } catch (\Throwable $error) {
            return failure($error);
        }
        $answer = ['type' => 'result', 'event' => is_array($event) ? as_it_was($event, $was) : $event];
        if ($answer['event'] === []) {
            $answer['event'] = new \stdClass();
        }
        if ($returned !== null) {
            $answer['returned'] = is_array($returned) && $returned !== [] ? as_it_was($returned, $was) : $returned;
        }
        json_encode($answer, KEPT & ~JSON_PARTIAL_OUTPUT_ON_ERROR, DEEPEST);
        return match (json_last_error()) {
            JSON_ERROR_NONE => $answer,
            JSON_ERROR_INF_OR_NAN => finite($answer),
            default => ['type' => 'error', 'message' => 'What the script left is no JSON: ' . json_last_error_msg()],
        };
    }

    // Where a print stands, before what it prints: for who tries a script, see trials.py.
    function traced(string $text): string
    {
        foreach (debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS) as $step) {
            if (($step['file'] ?? '') === SCRIPT) {
                return $text === '' ? '' : "\x1e" . $step['line'] . "\x1f" . $text;
            }
        }
        return $text;
    }

    // Null for each number that JSON does not know.
    function finite(mixed $value): mixed
    {
        if (is_array($value)) {
            return array_map(finite(...), $value);
        }
        return is_float($value) && !is_finite($value) ? null : $value;
    }

    function leave(int $code): never
    {
        $GLOBALS['libc']->_exit($code);
        exit($code);
    }

    function serve(Wire $wire, \FFI $libc, string $filter): never
    {
        $libc->prctl(4, 0, null, 0, 0); // PR_SET_DUMPABLE: a run shall not look into the parent that forked it
        rehearse($wire); // what is bound and looked up once is so before the first fork
        $wire->send(['type' => 'ready', 'version' => PHP_VERSION]);
        $parent = posix_getpid();
        for (;;) {
            $pid = pcntl_fork();
            if ($pid === 0) {
                take_one($wire, $libc, $parent, $filter);
            }
            if ($pid < 0) {
                exit(70);
            }
            pcntl_waitpid($pid, $status);
            posix_kill(-$pid, SIGKILL); // what it started in its group
            while (pcntl_waitpid(-1, $other, WNOHANG) > 0) {
                // what it left without a parent
            }
            $code = pcntl_wifexited($status) ? pcntl_wexitstatus($status) : -pcntl_wtermsig($status);
            if ($code === HOST_GONE) {
                exit($code);
            }
            $wire->send(['type' => 'ended', 'code' => $code]);
        }
    }
}

namespace DreamFactory\Core\Exceptions {

    class RestException extends \Exception
    {
        protected $statusCode;
        protected $context;

        public function __construct($status, $message = null, $code = null, $previous = null, $context = null)
        {
            parent::__construct((string) $message, (int) ($code ?: $status), $previous);
            $this->statusCode = (int) $status;
            $this->context = $context;
        }

        public function getStatusCode()
        {
            return $this->statusCode;
        }

        public function getContext()
        {
            return $this->context;
        }
    }

    // One class for each status that scripts answer with, all of one shape.
    foreach ([
        'BadRequest' => 400, 'Unauthorized' => 401, 'Forbidden' => 403, 'NotFound' => 404, 'ConflictResource' => 409,
        'InvalidJson' => 400, 'TooManyRequests' => 429, 'InternalServerError' => 500, 'NotImplemented' => 501,
        'BadGateway' => 502, 'ServiceUnavailable' => 503,
    ] as $name => $status) {
        eval("namespace DreamFactory\\Core\\Exceptions; class {$name}Exception extends RestException {
            public function __construct(\$message = null, \$code = null, \$previous = null, \$context = null) {
                parent::__construct($status, \$message, \$code, \$previous, \$context);
            }
        }");
    }
}

namespace {
    $libc = FFI::cdef('
        struct filter { unsigned short length; unsigned char *steps; };
        int prctl(int, unsigned long, void *, unsigned long, unsigned long);
        int setrlimit(int, const unsigned long *);
        void _exit(int);
    ');
    unset($name, $status);
    Reverie\serve(new Reverie\Wire(), $libc, (string) end($argv));
}
