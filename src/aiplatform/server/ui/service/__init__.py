"""The live stream of a browser: several topics over one connection."""
