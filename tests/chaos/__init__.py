"""Faults on purpose: processes killed and stopped, stores and brokers away, clocks moved.

What each scenario does and what must hold: docs/explanation/reliability.md.
"""
