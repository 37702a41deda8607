"""One customer, many identities: created or found, read, changed."""
