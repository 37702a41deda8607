"""Rows that say "look at this person again" and "this happened", and jobs with progress: written with their cause."""
