"""Memory: a store and a queue as strict as the real ones, that keep nothing."""
