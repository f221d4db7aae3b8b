// Whether a nodejs script has left anything that the next run of this process would meet.
"use strict";
const { readFileSync } = require("node:fs");

// What a script can change and the next run of this process would meet: the objects of this file's world that a context
// shows, and modules of Node's own once they were asked for; each with its properties as they were.
const watched = new Map();
const OWN = new Set(["_events", "_eventsCount", "exitCode", "moduleLoadList"]); // of `process`

function watch(value, depth) {
  const kind = typeof value;
  if (value === null || (kind !== "object" && (kind !== "function" || depth === 0)) || watched.has(value)) return;
  const properties = Object.getOwnPropertyDescriptors(value);
  const names = Reflect.ownKeys(properties);
  const plain = names.filter((name) => "value" in properties[name] && !(value === process && OWN.has(name)));
  watched.set(value, { count: names.length, names: plain, values: plain.map((name) => properties[name].value) });
  if (depth > 0) for (const name of plain) watch(properties[name].value, depth - 1);
}

// Whether anything is left of a run that a new context does not put right: then this process ends, and another begins.
function isMarked() {
  for (const [value, { count, names, values }] of watched) {
    if (Reflect.ownKeys(value).length !== count) return true;
    for (let at = 0; at < names.length; at += 1) if (!Object.is(value[names[at]], values[at])) return true;
  }
  return children().length > 0;
}

// Processes that a script has started and that are still there.
function children() {
  try {
    return readFileSync("/proc/thread-self/children", "utf8").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    return []; // a kernel that does not tell
  }
}

module.exports = { watch, isMarked, children };
