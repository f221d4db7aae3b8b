// Runs v8js and, when told so, typescript scripts: every run in a fresh realm, over frames on stdin and stdout (see wire.py).
// Started with every permission denied. Only text crosses into a realm: `realm` below is compiled inside it, and the
// functions of ours that it gets stay in its closure. So no object of this file's world can be reached by a script.
import vm from "node:vm";
import { stripTypeScriptTypes } from "node:module";
import { setImmediate } from "node:timers";

// Compiled and called inside the realm. `exchange(text)` sends a frame and gives the answer, for a call. `find(name, from)`
// gives "=" and the path of a module, or "!" and why there is none; `compiled(path)` that module as a function made in
// the realm, or "!" and what is wrong with its text.
function realm(exchange, find, compiled) {
  "use strict";
  const { parse, stringify } = JSON;
  const { apply } = Reflect;
  const { defineProperty } = Object;
  const { exec } = RegExp.prototype;
  const { replace, slice, toUpperCase } = String.prototype;
  const PIECE = 1 << 20; // characters of a log message
  const BEFORE = 29; // characters before the script in its first line, see `wrapped`
  const then = Promise.prototype.then;
  const resolve = Promise.resolve.bind(Promise);
  const text = String;
  const Failure = Error;
  let event, platform, returned, failure, open = false, asked = 0, traced = false;

  // JSON text that UTF-8 can carry: half of a surrogate pair has no place in it.
  function encode(value) {
    const json = stringify(value);
    if (json === undefined || apply(exec, /\\ud[89a-f]/i, [json]) === null) return json;
    return apply(replace, json, [/(\\\\)|\\ud[89a-f][0-9a-f]{2}/gi, (all, pair) => pair || "\ufffd"]);
  }

  function ask(op, args) {
    const message = `{"type":"call","id":${asked += 1},"op":"${op}","args":${encode(args)}}`;
    let answer;
    try {
      answer = exchange(message);
    } catch {
      throw new Failure("The platform cannot be asked any more.");
    }
    return parse(answer).value;
  }

  // Where a print stands, before what it prints: for who tries a script, see trials.py.
  function place() {
    const found = traced ? apply(exec, /script\.js:(\d+)/, [text(new Failure().stack)]) : null;
    return found === null ? "" : `\x1e${found[1]}\x1f`;
  }

  function log(line) {
    for (let rest = place() + line + "\n"; rest !== ""; rest = apply(slice, rest, [PIECE])) {
      const message = `{"type":"log","text":${encode(apply(slice, rest, [0, PIECE]))}}`;
      try {
        exchange(message);
      } catch {
        throw new Failure("Nothing can be printed any more.");
      }
    }
  }

  function show(value, indent) {
    if (typeof value === "string") return value;
    if (value instanceof Error) return text(value.stack || value);
    try {
      const json = stringify(value, null, indent);
      return json === undefined ? text(value) : json;
    } catch {
      return text(value);
    }
  }

  function shown(values) {
    let line = "";
    for (let i = 0; i < values.length; i += 1) line += (i ? " " : "") + show(values[i]);
    return line;
  }

  function plain(options) {
    return options !== null && typeof options === "object" ? options : {};
  }

  function call(verb, path, payload, options) {
    return ask("api", {
      __proto__: null, // what a script does to Object's prototype stays out of our messages
      verb: apply(toUpperCase, text(verb), []),
      path: text(path),
      payload: payload === undefined ? null : payload,
      options: plain(options),
    });
  }

  const api = {
    call,
    get: (path, payload, options) => call("GET", path, payload, options),
    post: (path, payload, options) => call("POST", path, payload, options),
    put: (path, payload, options) => call("PUT", path, payload, options),
    patch: (path, payload, options) => call("PATCH", path, payload, options),
    delete: (path, payload, options) => call("DELETE", path, payload, options),
  };
  const store = {
    get: (key, missing) => {
      const absent = missing === undefined ? null : missing;
      return ask("store.get", { __proto__: null, key: text(key), default: absent });
    },
    set: (key, value) => {
      ask("store.set", { __proto__: null, key: text(key), value: value === undefined ? null : value });
    },
  };
  const modules = { __proto__: null };

  // What the runner throws is of its own world; it stays here.
  function found(search, name, from) {
    try {
      return search(name, from);
    } catch {
      throw new Failure("No module can be had any more.");
    }
  }

  function told(answer) {
    if (typeof answer === "string" && answer[0] === "!") throw new Failure(apply(slice, answer, [1]));
    return answer;
  }

  // `require` as the module at a path has it, which finds `./other.js` beside itself; "" is the script.
  function requiring(from) {
    return (name) => {
      const path = apply(slice, told(found(find, text(name), from)), [1]);
      let module = modules[path];
      if (module === undefined) {
        const body = told(found(compiled, path));
        module = modules[path] = { exports: {} };
        try {
          apply(body, module.exports, [module.exports, requiring(path), module]);
        } catch (thrown) {
          delete modules[path];
          throw thrown;
        }
      }
      return module.exports;
    };
  }

  const say = (...values) => log(shown(values));
  const globals = {
    console: { log: say, info: say, warn: say, error: say, debug: say, dir: say, trace: say },
    print: say,
    var_dump: (...values) => {
      for (let i = 0; i < values.length; i += 1) log(show(values[i], 2));
    },
    require: requiring(""),
  };
  for (const name in globals) {
    defineProperty(globalThis, name, { value: globals[name], writable: true, configurable: true, enumerable: false });
  }

  // What was thrown, as a message. Its getters are the script's, so anything may happen on the way.
  function described(thrown) {
    const message = { __proto__: null, type: "error", message: "Unknown scripting error.", kind: "" };
    try {
      if (thrown !== null && (typeof thrown === "object" || typeof thrown === "function")) {
        if (thrown.message !== undefined && thrown.message !== null && thrown.message !== "") {
          message.message = text(thrown.message);
        }
        if (thrown instanceof Error) message.kind = text(thrown.name || thrown.constructor.name);
        const place = apply(exec, /(?:script|moved)\.js:(\d+):(\d+)/, [text(thrown.stack)]);
        if (place !== null) {
          message.line = +place[1];
          message.column = place[1] === "1" ? +place[2] - BEFORE : +place[2];
        }
        message.code = thrown.code;
        message.status_code = thrown.status_code;
      } else if (thrown !== undefined && thrown !== null && thrown !== "") {
        message.message = text(thrown);
      }
      return encode(message);
    } catch {
      return '{"type":"error","message":"Unknown scripting error."}';
    }
  }

  return {
    // Take the frame of a run; its script text goes back to be compiled.
    begin(frame) {
      const message = parse(frame);
      event = message.event;
      traced = message.platform.trace === true;
      platform = { api, session: message.platform.session, config: message.platform.config, store };
      if (platform.config !== null && typeof platform.config === "object") {
        defineProperty(platform.config, "df", { value: platform.config, enumerable: false });
      }
      return message.script;
    },
    go(script) {
      try {
        returned = script(event, platform);
        if (returned !== null && typeof returned === "object" && typeof returned.then === "function") {
          open = true;
          apply(then, resolve(returned), [
            (value) => { open = false; returned = value; },
            (thrown) => { open = false; failure = described(thrown); },
          ]);
        }
      } catch (thrown) {
        failure = described(thrown);
      }
    },
    fail(thrown) {
      if (failure === undefined) failure = described(thrown);
    },
    // The frame that ends the run.
    finish() {
      try {
        if (failure !== undefined) return failure;
        if (open) throw new Failure("The script's promise never settles.");
        const left = encode(event);
        const value = encode(returned);
        const end = value === undefined ? "}" : `,"returned":${value}}`;
        return `{"type":"result","event":${left === undefined ? "null" : left}${end}`;
      } catch (thrown) {
        return described(thrown);
      }
    },
  };
}

const REALM = new vm.Script(`(${realm})`, { filename: "realm" });
const SETTLE = new vm.Script("0", { filename: "settle" }); // evaluating anything runs the realm's promise jobs
const KEPT = 200; // compiled scripts
const LARGEST = 64 << 20; // bytes of a message
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const compiled = new Map();
const found = new Map(); // what `require` asked for, and got
const modules = new Map(); // the same by path
const TYPED = Deno.args.includes("typescript");
let current = null;

function send(text) {
  let body = encoder.encode(text);
  if (body.length > LARGEST) {
    body = encoder.encode('{"type":"error","message":"The script left or sent more than 64 MiB."}');
  }
  const frame = new Uint8Array(4 + body.length);
  new DataView(frame.buffer).setUint32(0, body.length);
  frame.set(body, 4);
  for (let at = 0; at < frame.length;) at += Deno.stdout.writeSync(frame.subarray(at));
}

function fill(bytes) {
  for (let at = 0; at < bytes.length;) {
    const count = Deno.stdin.readSync(bytes.subarray(at));
    if (count === null || count === 0) Deno.exit(0); // the host is gone
    at += count;
  }
  return bytes;
}

function receive() {
  const length = new DataView(fill(new Uint8Array(4)).buffer).getUint32(0);
  return decoder.decode(fill(new Uint8Array(length)));
}

// A realm that no script has seen, ready before its run arrives.
function freshRealm() {
  const context = vm.createContext(vm.constants.DONT_CONTEXTIFY, { microtaskMode: "afterEvaluate" });
  const self = { context, alive: true, talking: false, inside: null };
  function exchange(text) {
    if (!self.alive || self.talking || typeof text !== "string") throw new Error("over");
    self.talking = true; // stays so if the stack ends in the middle of a frame
    send(text);
    const answer = text.startsWith('{"type":"call"') ? receive() : "";
    self.talking = false;
    return answer;
  }
  function find(name, from) {
    const asked = JSON.stringify([name, from]);
    const args = { name: name.toWellFormed(), from, known: found.get(asked)?.version ?? "" };
    const { path, version, text, error } = JSON.parse(
      exchange(JSON.stringify({ type: "call", id: 0, op: "require", args }))).value;
    if (error !== undefined) return "!" + error;
    if (text !== null) found.set(asked, { path, version, text, script: null });
    modules.set(path, found.get(asked));
    return "=" + path;
  }
  self.inside = REALM.runInContext(context)(exchange, find, (path) => {
    const script = moduleOf(path);
    return typeof script === "string" ? script : script.runInContext(context);
  });
  return self;
}

// A file of the library as a function of the realm that runs it, compiled once; "!" and why not.
function moduleOf(path) {
  const one = modules.get(path);
  if (one.script !== null) return one.script;
  // No name here may end in what `described` and `compile` look for.
  const filename = `library(${path})`;
  try {
    let text = one.text;
    if (path.endsWith(".ts")) text = stripTypeScriptTypes(text, { mode: "transform" });
    if (path.endsWith(".json")) text = `module.exports = ${JSON.stringify(JSON.parse(text))};`;
    one.script = new vm.Script(`(function (exports, require, module) {${text}\n})`, { filename });
    return one.script;
  } catch (error) {
    return `!${path}: ${error.name}: ${String(error.message).split("\n")[0]}`;
  }
}

// The script as a function, compiled once for all runs of the same text.
function compile(text) {
  let entry = compiled.get(text);
  if (entry !== undefined) return entry;
  entry = compileAnew(text);
  compiled.set(text, entry);
  if (compiled.size > KEPT) compiled.delete(compiled.keys().next().value);
  return entry;
}

function compileAnew(text) {
  let plain = { text, filename: "script.js" };
  try {
    if (TYPED) plain = untyped(text);
    new Function("event", "platform", plain.text); // a body that closes its own function is none
    const script = new vm.Script(wrapped(plain.text) + "\n})", { filename: plain.filename });
    return { script, error: null, origins: plain.origins };
  } catch (error) {
    const [line, column] = "line" in error ? [error.line, error.column] : faulty(plain.text);
    return { script: null, error: { type: "error", kind: error.name, message: error.message, line, column } };
  }
}

// What keeps the text from running, with nothing of it run.
function checked(text) {
  const { error } = compileAnew(text);
  if (error === null) return [];
  const ends = endsTooEarly(text);
  if (ends !== null) {
    const lines = text.split("\n");
    return [{ line: lines.length, column: lines.at(-1).length + 1, message: ends, severity: "error" }];
  }
  return [{ line: error.line, column: error.column, message: error.message, severity: "error" }];
}

// The engine's words for a text that lacks its end. Around it stands a function of ours, whose end is what is complained of
// elsewhere.
function endsTooEarly(text) {
  try {
    vm.compileFunction(TYPED ? untyped(text).text : text, ["event", "platform"]);
    return null;
  } catch (error) {
    return /end of input/.test(error.message) ? error.message : null;
  }
}

// Where the parser of TypeScript stopped.
function placeIn(error) {
  const place = /:(\d+):(\d+)$/.exec(error.message);
  return place === null ? null : { line: Number(place[1]), column: Number(place[2]) };
}

// The script without its types. Types alone become blanks, so that lines stay; enums and the like are code, and move the
// lines: then a source map tells where each place came from.
function untyped(text) {
  try {
    return { text: stripTypeScriptTypes(text), filename: "script.js" };
  } catch {
    try {
      const made = stripTypeScriptTypes(text, { mode: "transform", sourceMap: true });
      const at = made.lastIndexOf("\n//# sourceMappingURL=");
      const map = at < 0 ? null : JSON.parse(atob(made.slice(made.indexOf("base64,", at) + 7)));
      return { text: at < 0 ? made : made.slice(0, at), filename: "moved.js", origins: map && origins(map.mappings) };
    } catch (error) {
      const [first] = error.message.split("\n");
      const place = placeIn(error);
      const told = new SyntaxError(first.replace(/^SyntaxError: /, ""));
      told.line = place === null ? null : place.line;
      told.column = place === null ? null : place.column;
      throw told;
    }
  }
}

// By line of the code that runs, the places of which it is known where they stood: [column, line, column], all from 0.
function origins(mappings) {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  let line = 0;
  let column = 0;
  return mappings.split(";").map((told) => {
    let at = 0;
    const places = [];
    for (const part of told.split(",").filter((one) => one !== "")) {
      const numbers = [];
      let value = 0;
      let shift = 0;
      for (const digit of part) {
        const bits = digits.indexOf(digit);
        value += (bits & 31) << shift;
        shift += 5;
        if (bits & 32) continue;
        numbers.push(value & 1 ? -(value >> 1) : value >> 1);
        value = shift = 0;
      }
      at += numbers[0];
      if (numbers.length < 4) continue;
      line += numbers[2];
      column += numbers[3];
      places.push([at, line, column]);
    }
    return places;
  });
}

// An error's message with its place in the script as it was written.
function relocated(text, places) {
  if (!places || !text.startsWith('{"type":"error"')) return text;
  const message = JSON.parse(text);
  const known = (places[message.line - 1] || []).filter(([column]) => column <= message.column - 1);
  const [, line, column] = known.pop() || [];
  message.line = line === undefined ? null : line + 1;
  message.column = column === undefined ? null : column + 1;
  return JSON.stringify(message);
}

function wrapped(text) {
  return "(function (event, platform) {" + text;
}

function complaint(text) {
  try {
    new vm.Script(text, { filename: "script.js" });
    return null;
  } catch (error) {
    return error.message;
  }
}

// Line and column of a syntax error, which the engine keeps to itself: the first line that, with those before it, draws
// the same complaint as the whole, and in it the first word that does.
function faulty(text) {
  const lines = text.split("\n");
  const whole = complaint(wrapped(text) + "\n})");
  let low = 1;
  let high = lines.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (complaint(wrapped(lines.slice(0, middle).join("\n"))) === whole) high = middle;
    else low = middle + 1;
  }
  const before = lines.slice(0, low - 1).map((line) => line + "\n").join("");
  const line = lines[low - 1] || "";
  for (let end = 1; end <= Math.min(line.length, 500); end += 1) {
    if (complaint(wrapped(before + line.slice(0, end))) !== whole) continue;
    return [low, end + 1 - /(?:[\w$]+|.)$/.exec(line.slice(0, end))[0].length];
  }
  return [low, null];
}

async function perform(frame) {
  const { context, inside } = current;
  const text = inside.begin(frame);
  const { script, error, origins: places } = compile(text);
  if (error !== null) return JSON.stringify(error);
  inside.go(script.runInContext(context));
  SETTLE.runInContext(context);
  await new Promise((done) => setImmediate(done)); // rejections that nobody handles are told now
  return relocated(inside.finish(), places);
}

globalThis.addEventListener("unhandledrejection", (told) => {
  told.preventDefault();
  current.inside.fail(told.reason);
});
current = freshRealm();
send(JSON.stringify({ type: "ready", version: TYPED ? Deno.version.typescript : Deno.version.v8 }));
for (;;) {
  const frame = receive();
  if (frame.startsWith('{"type":"check"')) {
    send(JSON.stringify({ type: "result", event: {}, returned: checked(JSON.parse(frame).script) }));
    continue;
  }
  const last = await perform(frame);
  current.alive = false;
  if (current.talking) Deno.exit(70);
  send(typeof last === "string" ? last : '{"type":"error","message":"The script left nothing that can be read."}');
  current = freshRealm();
}
