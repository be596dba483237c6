"""Links: a directory and an S3 prefix kept in step, both ways, for ever."""
