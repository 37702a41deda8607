"""Orders, items and refunds: money in fen, any order of arrival ends in the same rows."""
