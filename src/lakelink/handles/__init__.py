"""Open files over a location: streaming upload, spool, read-ahead."""
