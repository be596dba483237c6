"""A bucket prefix of any S3-compatible store as a Location."""
