"""Bulk files in: CSV rows become customers and orders through the public calls."""
