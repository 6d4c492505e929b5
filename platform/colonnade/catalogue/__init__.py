"""The routes of features and plans."""
