"""Argument parsing and printing only."""
