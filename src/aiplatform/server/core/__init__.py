"""Infrastructure for all domains: settings, database, errors, audit, events, storage, broker."""
