"""Lists and figures that read across rooms: customers by what they are, how they score and what they bought."""
