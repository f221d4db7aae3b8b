<?php

// queue:listen: php listen.php JOBS PAYLOAD. The framework's own listener, which starts a process for every job.

require __DIR__ . '/boot.php';

use Illuminate\Queue\Listener;
use Illuminate\Queue\ListenerOptions;

[, $jobs, $payload] = $argv;
fill((int) $jobs + 2, (int) $payload);
$listener = new Listener(__DIR__);
$process = $listener->makeProcess('default', 'default', new ListenerOptions('default', null, 0, 1024, 60, 0, 1));
foreach ([2, (int) $jobs] as $count) {
    $began = hrtime(true);
    for ($i = 0; $i < $count; $i++) {
        $listener->runProcess($process, 1024);
    }
    $seconds = (hrtime(true) - $began) / 1e9;
}
echo json_encode(['rate' => $jobs / $seconds, 'ran' => (int) $jobs]), "\n";
