"""Networks whose numbers are all given: made from what was built and trained, and kept in files."""
