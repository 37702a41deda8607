"""Who is in which segment: kept for those who change, swept as time passes, built anew when a definition changes."""
