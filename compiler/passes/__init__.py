"""The compiler's passes: each a small function on one representation."""
