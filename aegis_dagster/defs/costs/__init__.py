"""The cost assets: what models cost, their checks and the monthly report."""
