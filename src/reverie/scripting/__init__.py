"""User code: one conversation with a child process, whatever the language."""
