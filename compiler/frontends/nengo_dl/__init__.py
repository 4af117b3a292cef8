"""What NengoDL trained, taken out of its simulators and converters."""
