"""What answers requests: databases, scripts, and the platform's own records."""
