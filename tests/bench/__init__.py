"""Whole processes against real peers, interleaved, in one run: `make bench`. No test asserts a time."""
