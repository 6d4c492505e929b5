"""What a tenant's portal will look like, before it is saved: drawn here, for the tenant's own people."""
