"""What `colonnade demo` prints when everything runs."""

from colonnade.demo import story
from colonnade.demo.run import Running


def words(running: Running) -> str:
    """The demo's links, keys and three calls to try."""
    lines = ["", "Colonnade is running. Open a customer's page and click “Manage billing”:", ""]
    for tale, tenant in zip(story.TENANTS, running.tenants, strict=True):
        customer = tale.customers[0]
        lines.append(f"  {tale.name:<20} {running.site_url}/{tale.slug}/{customer.reference}   ({customer.name})")
        lines.append(f"  {'':<20} tenant {tenant.id}, account {tenant.account}")
        lines.append(f"  {'':<20} key {tenant.key}")
    tenant = running.tenants[0]
    path = f"{running.base_url}/v1/tenants/{tenant.id}/customers/{tenant.customers[0].reference}"
    lines += [
        "",
        f"  Platform key         {running.platform_key}",
        f"  API reference        {running.base_url}/docs",
        f"  Local Stripe         {running.sandbox_url}   (key {running.sandbox_key})",
        "",
        "Three calls to try:",
        "",
        f"  curl -H 'Authorization: Bearer {tenant.key}' {path}/entitlements",
        f"  curl -H 'Authorization: Bearer {tenant.key}' -X POST -H 'Content-Type: application/json' \\",
        f"       -d '{{}}' {path}/portal-sessions",
        f"  curl -H 'Authorization: Bearer {running.platform_key}' {running.base_url}/v1/tenants",
        "",
        "Ctrl-C stops everything; the data stays for the next time.",
    ]
    return "\n".join(lines)
