"""Faults on purpose: processes killed and stopped, stores and brokers away, clocks moved. See docs/explanation/reliability.md."""
