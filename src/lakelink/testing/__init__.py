"""Shipped test machinery: contract suites, fault injection, probes. Users run it against their own stores."""
