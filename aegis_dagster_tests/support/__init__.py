"""Shared by tests: servers, a settable clock, projects, scripted models, ways to run commands. No product tests."""
