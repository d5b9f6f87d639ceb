"""The thin shell: kopf, the API server, the clock and the process. Rules live elsewhere."""
