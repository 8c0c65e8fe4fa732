"""The watched root: a local folder or a bucket, its listing, its downloads, and the guard against a silent mount."""
