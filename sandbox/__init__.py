"""Stand-ins of the outside systems, as one process of its own: payments (Stripe's wire format), carrier and mail.

They fail on request, and keep a ledger of what they really did that nothing else writes. See docs/sandbox.md.
"""
