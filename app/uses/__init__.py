"""Uses: what is used by what, so that nothing is dropped from under a rule or a journey that names it."""
