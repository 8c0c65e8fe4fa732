"""The ledger: every model call, the accounts that pay for it, and the roll-ups that reports read."""
