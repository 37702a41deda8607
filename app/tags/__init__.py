"""Tags: what is stuck on customers by hand, by a call or by a rule."""
