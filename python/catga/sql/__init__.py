"""What SQL stores share: procedures that ask, whatever the driver, and what differs between databases."""
