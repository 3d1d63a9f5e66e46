"""Use cases for the web interface: a browser's live stream and lists, and the licences."""
