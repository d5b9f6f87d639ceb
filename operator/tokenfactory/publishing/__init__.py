"""What is told to people: the status document, when it is written, metrics and Events."""
