"""Custom attributes: what a shop declares that it keeps of its customers, and the values, typed and classed."""
