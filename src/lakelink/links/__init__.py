"""The runtime of a link: a directory and a prefix kept in step, both ways."""
