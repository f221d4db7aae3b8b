// graphile-worker: node burn.cjs URL JOBS PAYLOAD plain|batched CONCURRENCY EFFECTS

const fs = require("node:fs");
const { run, runMigrations, Logger } = require("graphile-worker");
const { Client } = require("pg");

const [url, jobsText, payloadText, mode, concurrencyText, effects] = process.argv.slice(2);
const jobs = Number(jobsText);
const file = fs.openSync(effects, "a");
// The settings that its documentation gives for speed: https://worker.graphile.org/docs/performance
const batching = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
const logger = new Logger(() => (level, message) => {
  if (level === "error") process.stderr.write(message + "\n");
});
const preset = {
  worker: {
    connectionString: url,
    concurrentJobs: Number(concurrencyText),
    maxPoolSize: Number(concurrencyText) + 2,
    logger,
    ...(mode === "batched" ? batching : {}),
  },
};

async function burn(client, count) {
  await client.query(
    "select graphile_worker.add_job('empty', json_build_object('pad', repeat('x', $2::int))) from generate_series(1, $1::int)",
    [count, Number(payloadText)],
  );
  await client.query("vacuum analyze");
  let waiting = count;
  let all;
  const done = new Promise((resolve) => (all = resolve));
  const empty = async () => {
    fs.writeSync(file, ".");
    if (--waiting === 0) all();
  };
  const cpu = process.cpuUsage();
  const began = process.hrtime.bigint();
  const runner = await run({ preset, taskList: { empty }, noHandleSignals: true });
  await done;
  await runner.stop();
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const used = process.cpuUsage(cpu);
  // `stop` can return while the last ends are on their way; waiting for them is not counted.
  let left = count;
  for (let look = 0; left !== 0 && look < 100; look++) {
    left = (await client.query("select count(*)::int as left from graphile_worker.jobs")).rows[0].left;
    if (left !== 0) await new Promise((resolve) => setTimeout(resolve, 50));
  }
  if (left !== 0) throw new Error(`${left} jobs are left`);
  return { rate: count / seconds, cpu: ((used.user + used.system) / 1e6 / count) * 1000, ran: count };
}

(async () => {
  await runMigrations({ preset });
  const client = new Client({ connectionString: url });
  await client.connect();
  await burn(client, Math.max(50, Math.round(jobs / 10)));
  const figures = await burn(client, jobs);
  await client.end();
  console.log(JSON.stringify(figures));
  process.exit(0);
})().catch((error) => {
  process.stderr.write(String(error && error.stack) + "\n");
  process.exit(1);
});
