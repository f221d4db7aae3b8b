"""HTTP in, HTTP out. Nothing below knows the web framework."""
