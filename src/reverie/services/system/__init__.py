"""The platform's own records as a service: `system`. One file per resource; what they share is in `records.py`."""
