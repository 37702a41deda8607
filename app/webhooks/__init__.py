"""Outgoing webhooks: subscriptions, signatures, deliveries."""
