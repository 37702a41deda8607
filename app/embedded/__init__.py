"""Postgres and Valkey for the demo and the tests, from wheels, without system services; production brings its own."""
