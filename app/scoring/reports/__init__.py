"""A shop's customers as a whole: how scores are distributed, who moved, what the predictions rest on."""
