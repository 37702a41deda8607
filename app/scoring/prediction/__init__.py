"""How often and for how much each customer will buy again: BG/NBD and Gamma-Gamma, numbers in and numbers out."""
