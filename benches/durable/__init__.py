"""`make bench-durable`: between processes, on real servers; each row beside a twin of the raw client that does the same input
and output, and decodes the same payload."""
