"""The link to a board on the host: port, frames, requests, and the engine that drives it."""
