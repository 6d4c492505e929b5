"""The OpenAPI document: made from the routes, so that a new one is described as fully as the others.

Litestar finds paths and parameters; schemas come from msgspec, which knows what it accepts; error answers and examples
are added here by rule.
"""
