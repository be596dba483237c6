"""The Python interface: what a program calls, and what the command line calls."""
