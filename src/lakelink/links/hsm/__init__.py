"""Lazy loading and release: files whose bytes are elsewhere until somebody opens them."""
