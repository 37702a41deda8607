"""What every room stands on and what knows no room: database, keys, errors, wire, clock, bell."""
