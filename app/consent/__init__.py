"""May we: purposes, an append-only ledger of grants and withdrawals, and whom we must not contact."""
