"""NIR graphs as pure Nengo networks, and back."""
