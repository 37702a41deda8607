"""One customer seen from every room: the profile, and the timeline of what happened."""
