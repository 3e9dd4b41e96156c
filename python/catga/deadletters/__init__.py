"""Dead letters: the messages that were given up, what they have in common, and the ways back."""

from catga.deadletters.groups import Group, fingerprint, grouped
from catga.deadletters.letters import DeadLetters

__all__ = ["DeadLetters", "Group", "fingerprint", "grouped"]
