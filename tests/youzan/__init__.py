"""The façade over HTTP; files are named after what clients care about, tests after the contract."""
