"""Ways to wake a worker; the interface is ``jobs/transport.py``."""
