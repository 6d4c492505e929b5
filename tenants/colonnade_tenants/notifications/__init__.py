"""What a tenant is told about changes: recorded with the change, published in one order, delivered to its endpoints.

`outbox` records, in the transaction of the change. `publishing` gives each notification its place in the tenant's
stream and queues it for the endpoints that want it. `queue` hands deliveries out and notes what became of them.
"""

from colonnade_tenants.notifications.outbox import CHANNEL, TENANT_ITSELF, Note, record, tell

__all__ = ["CHANNEL", "TENANT_ITSELF", "Note", "record", "tell"]
