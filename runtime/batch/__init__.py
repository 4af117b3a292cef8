"""Many copies of a network at once: what is equal is shared, what differs is each copy's own."""
