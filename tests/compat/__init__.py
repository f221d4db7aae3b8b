"""What the languages make of the same event: `python -m tests.compat` prints it as one table, kept in the docs."""
