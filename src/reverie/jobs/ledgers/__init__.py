"""Where the truth about jobs is kept; the interface is ``jobs/ledger.py``."""
