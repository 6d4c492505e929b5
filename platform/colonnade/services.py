"""What a request handler may use, made once for each process by `create_app`."""

from dataclasses import dataclass

from colonnade.database.connections import Database
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway


@dataclass(frozen=True)
class Services:
    """The process's settings, database and Stripe."""

    settings: Settings
    secret_key: str
    database: Database
    stripe: StripeGateway
