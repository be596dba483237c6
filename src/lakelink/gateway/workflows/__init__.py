"""What happens to files that have arrived: commands, webhooks, copies, moves, tags, at least once for each upload that a client was told is there."""
