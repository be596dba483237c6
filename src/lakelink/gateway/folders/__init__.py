"""What a user sees: virtual directories, and the locations behind them."""
