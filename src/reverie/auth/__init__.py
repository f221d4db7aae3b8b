"""Who is calling, and may they? Start at `gate`."""
