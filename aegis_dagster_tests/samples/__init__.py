"""Tests of the sample documents and of the files that install, test and run the project."""
