"""Who may do what: API keys, the guard before every route, portal tokens."""
