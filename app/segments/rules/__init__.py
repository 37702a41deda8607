"""The rule language: conditions on customers, checked against the shop, compiled to SQL once, and explained."""
