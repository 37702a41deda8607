"""What customers did: views, carts, visits and whatever else a shop declares, each kept once."""
