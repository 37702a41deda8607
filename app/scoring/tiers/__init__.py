"""Value tiers as a shop defines them: conditions on what is known of a customer, asked in order."""
