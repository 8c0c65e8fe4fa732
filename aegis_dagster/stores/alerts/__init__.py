"""The pager's tables: what fails, and whom it was told to."""
