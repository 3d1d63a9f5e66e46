"""Projects, which separate tenants: members, permissions, quotas, bin, API keys and webhooks."""
