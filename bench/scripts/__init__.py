"""What scripts cost: beside calls without one, a fork, and a process for each run."""
