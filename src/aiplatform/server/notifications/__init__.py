"""Notifications: inboxes, e-mail, preferences, live streams and webhook deliveries."""
