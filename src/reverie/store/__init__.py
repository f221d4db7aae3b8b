"""The platform's own database: its tables, its migrations, and its queries by noun."""
