"""API keys, the keys that tokens are signed with, and the audit log."""

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Column, Index, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from colonnade.database.tables.columns import id_column, metadata, tenant_column
from colonnade_tenants.columns import Timestamp, in_bounds, now_column

api_keys = Table(
    "api_keys",
    metadata,
    id_column(),
    Column("public_id", Text, nullable=False, unique=True, comment="key_…"),
    tenant_column(comment="null: a key of the platform team"),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the whole key"),
    Column(
        "scopes",
        ARRAY(Text),
        nullable=False,
        server_default="{admin}",
        comment="what it may do; of the platform team, its role",
    ),
    Column("prefix", Text, comment="its first letters, to be shown"),
    now_column("created_at"),
    Column("expires_at", Timestamp),
    Column("revoked_at", Timestamp),
    Column("last_used_at", Timestamp, comment="to the minute"),
    Column("followed_by", Text, comment="key_… that its rotation made"),
    in_bounds("expires_at"),
    CheckConstraint(
        "case when tenant_id is null then scopes in ('{admin}', '{support}', '{read}') "
        "else scopes <@ '{read,check,customers,portals,catalogue,admin}' and cardinality(scopes) > 0 end",
        name="scopes",
    ),
    Index(None, "tenant_id"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    id_column(),
    Column("public_id", Text, nullable=False, unique=True, comment="sgk_…: the `kid` of tokens"),
    tenant_column(nullable=False),
    Column("private_key", Text, nullable=False, comment="PKCS #8 in PEM, encrypted"),
    Column("public_key", JSONB, nullable=False, comment="as a JSON Web Key"),
    Column("signs_from", Timestamp, nullable=False, comment="until a later key's"),
    Column("published_until", Timestamp, comment="null: no later key is there"),
    now_column("created_at"),
    Index(None, "tenant_id"),
)

audit_log = Table(
    "audit_log",
    metadata,
    id_column(),
    Column("public_id", Text, nullable=False, unique=True, comment="aud_…"),
    Column(
        "tenant_id", BigInteger, comment="whom it is about; null: nobody alone. No reference: the log outlives tenants"
    ),
    now_column("at"),
    Column("by_kind", Text, nullable=False),
    Column("by_id", Text, nullable=False, comment="key_…, a person, or what of the program it was"),
    Column("action", Text, nullable=False, comment="a thing and what became of it: tenant.suspended"),
    Column("target", Text, nullable=False, comment="the thing's path below /v1/"),
    Column("before", JSONB, comment="named fields alone, so that no secret gets here"),
    Column("after", JSONB),
    Column("request_id", Text, comment="req_…"),
    CheckConstraint("by_kind in ('platform_key', 'tenant_key', 'person', 'system')", name="by_kind"),
    Index(None, "tenant_id", "id"),
    Index(None, "by_id", "id"),
    Index(None, "request_id"),
)
