"""The conformance table: confirmed rows of the contract, as requests and what must be answered."""
