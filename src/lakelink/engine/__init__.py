"""Effects shared by all features: scan, copy, apply, verify."""
