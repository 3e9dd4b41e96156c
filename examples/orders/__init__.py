"""Orders: a command that writes, an event that leaves with its commit, mails sent in batches."""
