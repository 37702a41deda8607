"""Wiring of the background work: which bells ring what, the polls, start and stop."""
