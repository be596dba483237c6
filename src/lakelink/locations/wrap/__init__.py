"""Cross-cutting behaviour as wrappers with the wrapped port's own interface."""
