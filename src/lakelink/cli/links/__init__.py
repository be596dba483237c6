"""`lakelink link …`, a module per group of commands."""
