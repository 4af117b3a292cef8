"""Learning rules written in the language of rules; users can write all of them themselves."""
