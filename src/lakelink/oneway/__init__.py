"""One-way runs over any pair of locations."""
