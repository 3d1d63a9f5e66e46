"""The web interface: its session cookie, its live stream, and the built page."""
