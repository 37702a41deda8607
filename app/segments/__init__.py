"""Who somebody is right now, by rules that a shop writes."""
