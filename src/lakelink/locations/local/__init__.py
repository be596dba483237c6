"""A directory of this machine as a location."""
