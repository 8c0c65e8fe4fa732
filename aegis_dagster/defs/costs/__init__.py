"""The cost assets: the costs of models, their checks and the monthly report."""
