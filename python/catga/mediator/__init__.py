"""Find the handler, compose its pipeline once, call it."""
