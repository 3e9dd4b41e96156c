"""Queues that are rows: what their backends share is how instances compete for parts and read them in order."""

from catga.queues.consumer import LeasedConsumer
from catga.queues.rows import End, Restarted, Row, Rows, Want, rank_of

__all__ = ["End", "LeasedConsumer", "Restarted", "Row", "Rows", "Want", "rank_of"]
