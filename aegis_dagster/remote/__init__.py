"""What speaks with servers through fsspec shares: time limits, parallel requests, errors in our words."""
