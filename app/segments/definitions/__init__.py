"""Segments as callers define them: named, versioned, listed, archived; and who is in them, read."""
