"""Looking at what was prepared, trained and installed."""
