"""What a tenant's customers see at Stripe: branding, portal configurations, portal sessions."""
