"""What tests share: servers, a set clock, projects, scripted models, ways to run commands. No tests of the product."""
