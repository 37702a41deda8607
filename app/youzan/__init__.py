"""The façade: Youzan's calls over the house's own services, with no rule of its own."""
