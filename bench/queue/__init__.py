"""The queue, from the bare store up to HTTP, beside its peers, in one run. docs/explanation/benchmarks.md says how."""
