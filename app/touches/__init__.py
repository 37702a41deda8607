"""Attempts to reach a customer: planned from an audience, allowed or refused with a reason, handed to a channel."""
