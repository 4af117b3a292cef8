"""How often a network is right: many images, in float and in fixed point."""
