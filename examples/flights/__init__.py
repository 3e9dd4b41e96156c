"""A year of departures from New York, carried through commands, events and batches, and counted at the end."""
