<?php

// The queue component of the framework with nothing around it: no application boots, which favours it.
// BENCH_STORE is sqlite:PATH or redis:PORT, BENCH_EFFECTS the file that every job adds a byte to.

foreach (['Queue', 'Database', 'Redis', 'Events'] as $part) {
    require_once "Illuminate/$part/autoload.php";
}

use Illuminate\Container\Container;
use Illuminate\Contracts\Debug\ExceptionHandler;
use Illuminate\Events\Dispatcher;
use Illuminate\Queue\Capsule\Manager as Queue;
use Illuminate\Queue\Worker;

class EmptyJob
{
    private static $file;

    public function fire($job, array $data)
    {
        self::$file ??= fopen(getenv('BENCH_EFFECTS'), 'a');
        fwrite(self::$file, '.');
        fflush(self::$file);
        $job->delete();
    }
}

class Loud implements ExceptionHandler
{
    public function report(Throwable $e)
    {
        fwrite(STDERR, "$e\n");
        exit(1);
    }

    public function shouldReport(Throwable $e)
    {
        return true;
    }

    public function render($request, Throwable $e)
    {
    }

    public function renderForConsole($output, Throwable $e)
    {
    }
}

function queue(): Queue
{
    static $queue = null;
    if ($queue !== null) {
        return $queue;
    }
    [$kind, $where] = explode(':', getenv('BENCH_STORE'), 2);
    $container = Container::getInstance();
    $queue = new Queue($container);
    $container->instance('events', new Dispatcher($container));
    if ($kind === 'sqlite') {
        $database = new Illuminate\Database\Capsule\Manager($container);
        $database->addConnection(['driver' => 'sqlite', 'database' => $where, 'prefix' => '']);
        $container->instance('db', $database->getDatabaseManager());
        $connection = $database->getConnection();
        foreach (['journal_mode=WAL', 'synchronous=FULL', 'busy_timeout=5000'] as $pragma) {
            $connection->statement("PRAGMA $pragma");
        }
        // The table that `artisan queue:table` makes.
        $connection->statement('CREATE TABLE IF NOT EXISTS jobs (id integer primary key autoincrement, queue varchar'
            . ' not null, payload text not null, attempts integer not null, reserved_at integer, available_at integer'
            . ' not null, created_at integer not null)');
        $connection->statement('CREATE INDEX IF NOT EXISTS jobs_queue_index ON jobs (queue)');
        $queue->addConnection(['driver' => 'database', 'table' => 'jobs', 'queue' => 'default', 'retry_after' => 90]);
    } else {
        $redis = new Illuminate\Redis\RedisManager($container, 'phpredis', [
            'default' => ['host' => '127.0.0.1', 'port' => (int) $where, 'database' => 0],
        ]);
        $container->instance('redis', $redis);
        $queue->addConnection([
            'driver' => 'redis', 'connection' => 'default', 'queue' => 'default', 'retry_after' => 90, 'block_for' => null,
        ]);
    }
    return $queue;
}

function worker(): Worker
{
    $container = Container::getInstance();
    return new Worker(queue()->getQueueManager(), $container['events'], new Loud(), fn () => false);
}

/** Push jobs, in one transaction where the store has them; that is not measured. */
function fill(int $jobs, int $payload): void
{
    $data = ['pad' => str_repeat('x', $payload)];
    $push = function () use ($jobs, $data) {
        for ($i = 0; $i < $jobs; $i++) {
            queue()->getConnection()->push('EmptyJob', $data);
        }
    };
    $container = Container::getInstance();
    $container->bound('db') ? $container['db']->connection()->transaction($push) : $push();
}
