"""The demo's receiver: what a channel would have shown the customer, on a page."""
