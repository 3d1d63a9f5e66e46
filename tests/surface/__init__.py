"""Tests of the SDK and the command line against the real application, without fakes."""
