"""A Program as flat arrays: its instructions as records, weights as they lie, what is kept."""
