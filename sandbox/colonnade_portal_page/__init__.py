"""The customer portal's page: its templates, style and words, and colours that stay readable.

The sandbox shows it as Stripe would, the platform as a preview. It knows neither of them, nor any tenant.
"""
