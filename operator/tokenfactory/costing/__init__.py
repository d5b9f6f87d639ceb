"""What a pool costs: pure arithmetic over readings, with a ledger that goes in and comes out.

Every formula cites docs/cost-model.md, which is normative.
"""
