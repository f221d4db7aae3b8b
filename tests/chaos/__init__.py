"""Faults on purpose: processes killed, stores and brokers away, clocks moved. See docs/explanation/reliability.md."""
