// Runs nodejs scripts: every run in a fresh context, over frames on descriptor 3 (see wire.py).
// A script may use all of Node; this process is its wall. A run is over when the script's own part has returned and the
// event loop has nothing more to do: our pipe does not keep the loop alive during a run, unless a call is open.
"use strict";
const vm = require("node:vm");
const net = require("node:net");
const { format, promisify } = require("node:util");
const path = require("node:path");
const { createRequire, isBuiltin } = require("node:module");
const { watch, isMarked, children } = require("./marks.cjs");
const { BEFORE, wellFormed, described } = require("./thrown.cjs");

const home = process.cwd();
const folders = process.argv.length > 2 ? process.argv.slice(2) : [home]; // where `require` looks for packages
const folder = folders[0];
const environment = { ...process.env };
const exit = process.exit.bind(process);
const KEPT = 200; // compiled scripts
const LARGEST = 64 << 20; // bytes of a message
const compiled = new Map();
const pipe = new net.Socket({ fd: 3, readable: true, writable: true });
let run = null;
let ready = null;
let quiet = 0;

function send(text) {
  let size = Buffer.byteLength(text);
  if (size > LARGEST) {
    text = '{"type":"error","message":"The script left or sent more than 64 MiB."}';
    size = Buffer.byteLength(text);
  }
  const frame = Buffer.allocUnsafe(4 + size);
  frame.writeUInt32BE(size, 0);
  frame.write(text, 4);
  pipe.write(frame);
}

let held = Buffer.alloc(0);
pipe.on("data", (data) => {
  held = held.length ? Buffer.concat([held, data]) : data;
  while (held.length >= 4 && held.length >= 4 + held.readUInt32BE(0)) {
    const end = 4 + held.readUInt32BE(0);
    const text = held.toString("utf8", 4, end);
    held = held.subarray(end);
    if (text.startsWith('{"type":"run"')) begin(text);
    else if (text.startsWith('{"type":"check"')) check(text);
    else if (run !== null) run.answer(text);
  }
});
pipe.on("error", () => exit(0));
pipe.on("end", () => exit(0)); // the host is gone

// What Node adds to the language, by name: a context has the language only.
const bare = new Set(vm.runInNewContext("Object.getOwnPropertyNames(globalThis)"));
const additions = Object.getOwnPropertyNames(globalThis).filter((name) => !bare.has(name) && name !== "global");
additions.push("Uint8Array", "ArrayBuffer", "console", "WebAssembly"); // Buffer's own family, for `instanceof`

// `require` of a script: the packages of the first folder that has them, and what Node brings along, which is watched.
const { cache } = require;

function requiring() {
  let loaders = null; // of this run, as each keeps what it has loaded
  const found = (name, options) => {
    let first;
    loaders ??= folders.map((one) => createRequire(path.join(one, "script.js")));
    for (const loader of loaders) {
      try {
        return [loader, loader.resolve(name, options)];
      } catch (error) {
        if (error.code !== "MODULE_NOT_FOUND") throw error;
        first ??= error;
      }
    }
    first.message = first.message.split("\n")[0]; // without the stack of places, which are ours
    throw first;
  };
  const load = (name) => {
    const exported = found(name)[0](name);
    if (isBuiltin(name)) watch(exported, 2);
    return exported;
  };
  return Object.assign(load, { resolve: (name, options) => found(name, options)[1], cache, main: undefined });
}

function freshContext() {
  const context = vm.createContext({});
  for (const name of additions) {
    Object.defineProperty(context, name, {
      get: () => globalThis[name],
      set(value) {
        Object.defineProperty(context, name, { value, writable: true, configurable: true, enumerable: false });
      },
      configurable: true,
      enumerable: false,
    });
  }
  // Timers of a run end with it, also those that nothing waits for.
  const timers = [];
  for (const name of ["setTimeout", "setInterval"]) {
    const noting = (...details) => {
      timers.push(globalThis[name](...details));
      return timers.at(-1);
    };
    noting[promisify.custom] = globalThis[name][promisify.custom];
    Object.defineProperty(context, name, { value: noting, writable: true, configurable: true });
  }
  const [module, file] = [{ exports: {} }, path.join(folder, "script.js")];
  const given = { require: requiring(), module, exports: module.exports, __filename: file, __dirname: folder };
  for (const name of Object.keys(given)) {
    Object.defineProperty(context, name, { value: given[name], writable: true, configurable: true });
  }
  const { global, parse, stringify } = vm.runInContext(
    "({ global: globalThis, parse: JSON.parse, stringify: JSON.stringify })", context);
  Object.defineProperty(context, "global", { value: global, writable: true, configurable: true });
  return { context, parse, stringify, timers };
}

// What lets `import()` work, where this Node has it. It warns once that it is new; scripts shall not print that.
const OPTIONS = { filename: "script.js" };
if (vm.constants && vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER) {
  OPTIONS.importModuleDynamically = vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;
  const { emitWarning } = process;
  process.emitWarning = () => {};
  const first = new vm.Script("import('node:os')", OPTIONS).runInThisContext();
  first.catch(() => {}).then(() => { process.emitWarning = emitWarning; });
}

// The script as a function, compiled once for all runs of the same text.
function compile(text) {
  let script = compiled.get(text);
  if (script === undefined) {
    script = new vm.Script(`${BEFORE}${text}\n})`, OPTIONS);
    new Function("event", "platform", text); // a body that closes its own function is none
    compiled.set(text, script);
    if (compiled.size > KEPT) compiled.delete(compiled.keys().next().value);
  }
  return script;
}

// What keeps a text from running, with nothing of it run. Where it is stands above the stack, as Node prints it.
function check(frame) {
  const { script } = JSON.parse(frame);
  const found = [];
  try {
    vm.compileFunction(script, ["event", "platform"], { filename: "script.js" });
  } catch (error) {
    const [, line, above] = /^script\.js:(\d+)\n.*\n([ \t]*)\^/.exec(String(error.stack)) || [];
    const last = script.split("\n");
    const end = { line: last.length, column: last.at(-1).length + 1 };
    const nowhere = /end of input/.test(error.message) ? end : { line: null, column: null };
    const place = line === undefined ? nowhere : { line: Number(line), column: above.length + 1 };
    found.push({ ...place, message: String(error.message), severity: "error" });
  }
  send(JSON.stringify({ type: "result", event: {}, returned: found }));
}

class Run {
  constructor(text, { context, parse, stringify, timers }) {
    this.timers = timers;
    this.parse = parse;
    this.stringify = stringify;
    this.context = context;
    this.calls = new Map();
    this.asked = 0;
    this.waiting = false;
    this.returned = undefined;
    const message = parse(text);
    this.script = message.script;
    this.event = message.event;
    this.platform = this.access(message.platform);
    if (message.platform.trace === true) this.trace();
    this.help(this.event);
  }

  access({ session, config }) {
    if (config !== null && typeof config === "object") {
      Object.defineProperty(config, "df", { value: config, enumerable: false });
    }
    const withPayload = (verb) => (target, ...rest) => {
      const [payload, options] = rest.filter((value) => typeof value !== "function");
      return this.call(verb, target, payload, options, rest);
    };
    const api = {
      get: (target, ...rest) => {
        const given = rest.filter((value) => typeof value !== "function");
        return this.call("GET", target, null, given.find((value) => value !== null && typeof value === "object"), rest);
      },
      call: (verb, target, ...rest) => {
        const method = String(verb).toUpperCase();
        return method === "GET" ? api.get(target, ...rest) : withPayload(method)(target, ...rest);
      },
    };
    for (const verb of ["post", "put", "patch", "delete"]) api[verb] = withPayload(verb.toUpperCase());
    const store = {
      get: (key, missing, callback) =>
        this.later(this.ask("store.get", { key: String(key), default: missing ?? null }), callback),
      set: (key, value, callback) =>
        this.later(this.ask("store.set", { key: String(key), value: value ?? null }), callback),
    };
    return { api, session, config, store };
  }

  // Tell where each print stands, before what it prints: for who tries a script, see trials.py.
  trace() {
    const say = (...values) => {
      const place = /script\.js:(\d+)/.exec(new Error().stack);
      process.stdout.write(`${place === null ? "" : `\x1e${place[1]}\x1f`}${format(...values)}\n`);
    };
    const traced = Object.create(console, {});
    for (const name of ["log", "info", "warn", "error", "debug", "dir", "trace"]) traced[name] = say;
    this.context.console = traced;
  }

  // Late results, out of sight of whoever looks through the event.
  help(event) {
    const helpers = {
      setReturn: (value) => { this.returned = value; },
      setResponse: (content, status_code = 200, content_type = "application/json") => {
        event.response = { content, status_code, content_type };
      },
      setRequest: (request) => { event.request = request; },
    };
    for (const name of Object.keys(helpers)) {
      Object.defineProperty(event, name, { value: helpers[name], enumerable: false, configurable: true, writable: true });
    }
  }

  call(verb, target, payload, options, rest) {
    const answered = this.ask("api", {
      verb,
      path: String(target),
      payload: payload === undefined ? null : payload,
      options: options !== null && typeof options === "object" ? options : {},
    });
    const callback = rest.find((value) => typeof value === "function");
    this.later(answered, callback && ((result) => {
      const content = result ? result.content : null;
      const body = typeof content === "string" ? content : this.stringify(content === undefined ? null : content);
      const { status_code: statusCode, headers } = result || {};
      callback(body, { statusCode, headers, content, body, result });
    }));
    for (const name of ["on", "once", "write", "end", "setTimeout"]) answered[name] = () => answered;
    return answered;
  }

  later(answered, callback) {
    // Out of the promise, so that what the callback throws is an uncaught error and not a rejection.
    if (typeof callback === "function") answered.then((value) => process.nextTick(callback, value));
    return answered;
  }

  ask(op, args) {
    const id = (this.asked += 1);
    const message = wellFormed(this.stringify({ type: "call", id, op, args }));
    return new Promise((resolve) => {
      if (run !== this) return; // a late call of a run that is over: nobody answers
      this.calls.set(id, resolve);
      pipe.ref();
      send(message);
    });
  }

  answer(text) {
    const { id, value } = this.parse(text);
    const resolve = this.calls.get(id);
    this.calls.delete(id);
    if (this.calls.size === 0) pipe.unref();
    if (resolve !== undefined) resolve(value);
  }

  go() {
    let value;
    try {
      value = compile(this.script).runInContext(this.context)(this.event, this.platform);
    } catch (thrown) {
      finish(described(thrown));
      return;
    }
    if (value !== null && typeof value === "object" && typeof value.then === "function") {
      this.waiting = true;
      Promise.resolve(value).then(
        (settled) => { this.waiting = false; this.give(settled); },
        (thrown) => { if (run === this) finish(described(thrown)); },
      );
    } else {
      this.give(value);
    }
  }

  give(value) {
    if (value !== undefined) this.returned = value;
  }

  end() {
    if (this.waiting) return '{"type":"error","kind":"Error","message":"The script\'s promise never settles."}';
    try {
      const event = this.stringify(this.event);
      const returned = this.stringify(this.returned);
      const last = returned === undefined ? "}" : `,"returned":${returned}}`;
      return wellFormed(`{"type":"result","event":${event === undefined ? "null" : event}${last}`);
    } catch (thrown) {
      return described(thrown);
    }
  }
}

function begin(text) {
  pipe.unref();
  run = new Run(text, ready);
  run.go();
}

function finish(text) {
  for (const timer of run.timers) clearTimeout(timer);
  run = null;
  const busy = process.getActiveResourcesInfo().length > quiet; // servers, sockets ... that would outlive the script
  pipe.ref();
  send(text);
  tidy();
  if (busy || isMarked()) {
    for (const pid of children()) try { process.kill(pid, "SIGKILL"); } catch { /* it has just ended */ }
    pipe.end();
    exit(0);
  }
  ready = freshContext();
}

// What a script may have changed of the process that the next one shares.
function tidy() {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  Object.assign(process.env, environment);
  process.exitCode = undefined;
  process.chdir(home);
  for (const file of Object.keys(cache)) delete cache[file]; // the next run has packages of its own
  for (const name of process.eventNames()) if (!(name in handlers)) process.removeAllListeners(name);
  for (const name of Object.keys(handlers)) listen(name);
}

const fail = (thrown) => {
  if (run !== null) finish(described(thrown));
};
const handlers = {
  uncaughtException: fail,
  unhandledRejection: fail,
  beforeExit: () => {
    if (run !== null) finish(run.end());
  },
};

function listen(name) {
  const listeners = process.listeners(name);
  if (listeners.length === 1 && listeners[0] === handlers[name]) return;
  process.removeAllListeners(name);
  process.on(name, handlers[name]);
}

// Written at once and in order, and opened before the count of what keeps the loop alive.
for (const stream of [process.stdout, process.stderr]) {
  if (stream._handle && stream._handle.setBlocking) stream._handle.setBlocking(true);
}
for (const name of Object.keys(handlers)) listen(name);
ready = freshContext();
setImmediate(() => {
  for (const one of [globalThis, Buffer, process]) watch(one, 2);
  pipe.unref();
  quiet = process.getActiveResourcesInfo().length;
  pipe.ref();
  send(JSON.stringify({ type: "ready", version: process.versions.node }));
});
