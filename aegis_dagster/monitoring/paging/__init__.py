"""The pager and its channels: Alertmanager and Apprise."""
