"""Who is calling, for which shop, and what may they see."""
