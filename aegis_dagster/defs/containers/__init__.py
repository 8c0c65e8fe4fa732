"""Steps and runs in containers of a Docker engine. Only what `containers.image` switches on imports docker."""
