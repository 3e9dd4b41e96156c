"""Live messages: who listens now hears them."""
