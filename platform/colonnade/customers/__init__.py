"""The routes of end customers, their subscriptions and their entitlements."""
