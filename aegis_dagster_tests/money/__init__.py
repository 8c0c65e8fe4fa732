"""Every cent, across processes: the whole of the gateway, ledger and stages against the scripted server."""
