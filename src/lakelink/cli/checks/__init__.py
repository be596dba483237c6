"""The checks of `lakelink doctor`, by what they look at."""
