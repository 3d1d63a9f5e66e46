"""What every domain stands on: settings, database, errors, audit, events, storage, broker."""
