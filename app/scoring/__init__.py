"""What a customer is worth: stats from facts, RFM and value tier from stats and a published run, history of tiers."""
