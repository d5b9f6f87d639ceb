"""What an engine was told: from its command line to one declaration for each optimization. Pure."""
