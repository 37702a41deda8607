"""Files of a shop's rows: written by the workers, kept sealed for some days, masked unless a reason is given."""
