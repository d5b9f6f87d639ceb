"""The token-factory operator: what a million tokens really costs, live, and why."""
