"""Typed settings; each value knows where it came from."""
