<?php

// queue:work: php work.php JOBS PAYLOAD

require __DIR__ . '/boot.php';

use Illuminate\Queue\WorkerOptions;

[, $jobs, $payload] = $argv;
$options = new WorkerOptions('default', 0, 1024, 60, 3, 1, false, true);  // stops when the queue is empty

class Ended extends Exception
{
}

// `daemon` ends the process when the queue is empty, so the figures are printed on the way out.
$began = null;
foreach ([(int) max(50, $jobs / 10), (int) $jobs] as $count) {
    fill($count, (int) $payload);
    $before = getrusage();
    $began = hrtime(true);
    $worker = worker();
    for ($i = 0; $i < $count; $i++) {
        $worker->runNextJob('default', 'default', $options);
    }
    $seconds = (hrtime(true) - $began) / 1e9;
    $after = getrusage();
}
$cpu = 0;
foreach (['ru_utime', 'ru_stime'] as $name) {
    $cpu += $after["$name.tv_sec"] - $before["$name.tv_sec"] + ($after["$name.tv_usec"] - $before["$name.tv_usec"]) / 1e6;
}
echo json_encode(['rate' => $jobs / $seconds, 'cpu' => $cpu / $jobs * 1000, 'ran' => (int) $jobs]), "\n";
