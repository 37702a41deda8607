"""One row for each thing that somebody uses."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Text

from app.core.schema import tenant_table

uses = tenant_table(
    "uses",
    Column("thing", Text, primary_key=True),
    Column("name", Text, primary_key=True, comment="a tag's is its number, because tags can be renamed"),
    Column("user_kind", Text, primary_key=True, comment="a segment, a journey, …"),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_name", Text, nullable=False, comment="as people call the user"),
    CheckConstraint("thing in ('tag', 'attribute', 'event_type', 'segment', 'tier', 'store')", name="thing"),
    # all that one user uses: recorded anew, forgotten
    Index("ix_uses_user", "shop_id", "user_kind", "user_id"),
)
