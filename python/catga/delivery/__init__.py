"""Delivery between processes: what is accepted is handled, whatever dies."""
