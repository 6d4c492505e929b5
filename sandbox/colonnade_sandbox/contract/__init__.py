"""Stripe's contract, derived from the source of the installed `stripe` package.

The package is read with `ast` and never imported: an import costs a third of a second and 24 MiB. Each
route, parameter type and resource is derived on its first use.
"""
