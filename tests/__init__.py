"""Tests against real servers, mostly over HTTP."""
