"""Two records, one person: edges that can be taken away again, and what follows from them."""
