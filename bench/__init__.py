"""How fast, beside the bare limit, in one run."""
