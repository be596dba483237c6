"""What a run says about itself while it runs: events for a log, rates and remaining time for a display."""
