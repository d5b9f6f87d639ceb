"""The embedded control plane and the replayed fleet: the demo and the tests stand on it."""
