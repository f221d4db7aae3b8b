"""What is wrong with a python3 script, without a run. Loaded by launch.py; needs nothing of reverie."""

import warnings


def checked(text, compile_script):
    """What keeps the text from running, and what the compiler warns of; nothing of it is run."""
    found = []
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            compile_script(text)
        except SyntaxError as error:
            found.append(problem(error.lineno, error.offset, error.msg, "error"))
        except (ValueError, RecursionError) as error:
            found.append(problem(None, None, str(error), "error"))
    said = {(one.lineno, str(one.message)) for one in heard}
    found += [problem(line, None, text, "warning") for line, text in sorted(said)]
    return {"type": "result", "event": {}, "returned": found}


def problem(line, column, message, severity):
    return {"line": line, "column": column, "message": message, "severity": severity}
