"""What every route keeps to, in one place each: bodies, headers, other origins, deprecation, the OpenAPI document."""
