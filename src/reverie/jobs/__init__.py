"""Events kept for later: the truth about them (ledger), the wake-ups (transport), and both under one name (queue)."""
