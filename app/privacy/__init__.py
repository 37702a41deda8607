"""What the law asks across rooms; for now, the rotation of keys."""
