"""The demo: an invented brand and its data."""
