"""Change feeds: how a link learns that something may have changed, before the next scan would find it."""
