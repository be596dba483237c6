"""What lakelink remembers between runs, in SQLite."""
