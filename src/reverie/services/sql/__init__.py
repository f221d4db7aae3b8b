"""A database as a service: request → plan → statement → rows."""
