"""Catga: a messaging core for latency-sensitive Python services."""
