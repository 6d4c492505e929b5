"""Customers' visits of the portal: what they could change, what they did change, and who let them in."""
