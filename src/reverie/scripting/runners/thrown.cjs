// What a nodejs script threw, as the message that tells it.
"use strict";

const BEFORE = "(function (event, platform) {"; // stands before the script, in its first line

// JSON text that UTF-8 can carry: half of a surrogate pair has no place in it.
function wellFormed(json) {
  if (json === undefined || !/\\ud[89a-f]/i.test(json)) return json;
  return json.replace(/(\\\\)|\\ud[89a-f][0-9a-f]{2}/gi, (all, pair) => pair || "\ufffd");
}

function described(thrown) {
  const message = { type: "error", message: "Unknown scripting error.", kind: "" };
  try {
    if (thrown !== null && (typeof thrown === "object" || typeof thrown === "function")) {
      if (thrown.message !== undefined && thrown.message !== null && thrown.message !== "") {
        message.message = String(thrown.message);
      }
      if (typeof thrown.stack === "string") {
        message.kind = String(thrown.name || "");
        const place = /script\.js:(\d+)(?::(\d+))?/.exec(thrown.stack);
        if (place !== null) {
          message.line = Number(place[1]);
          message.column = columnOf(thrown.stack, message.line, place[2]);
        }
      }
      message.code = thrown.code;
      message.status_code = thrown.status_code;
    } else if (thrown !== undefined && thrown !== null && thrown !== "") {
      message.message = String(thrown);
    }
    return wellFormed(JSON.stringify(message));
  } catch {
    return '{"type":"error","message":"Unknown scripting error."}';
  }
}

// The column of an error; that of a mistake in the text stands under its line only, as the place of a caret.
function columnOf(stack, line, told) {
  const caret = told === undefined ? /^ *\^/m.exec(stack) : null;
  const column = told === undefined ? (caret === null ? null : caret[0].length) : Number(told);
  return column !== null && line === 1 ? column - BEFORE.length : column;
}

module.exports = { BEFORE, wellFormed, described };
