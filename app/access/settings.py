"""What one shop can set for itself; every value has a default that works."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TierSettings(BaseModel):
    """Thresholds of the value tier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vip_share: float = Field(default=0.10, gt=0, lt=1, description="Top share of spenders by last year's net spend")
    potential_share: float = Field(default=0.50, gt=0, lt=1, description="Spend at or above this share's cut")
    potential_days: int = Field(
        default=30, ge=1, le=3650, description="High-potential needs an order within these days"
    )
    at_risk_days: int = Field(default=90, ge=1, le=3650, description="At risk after more than this many silent days")


class FacadeSettings(BaseModel):
    """Choices where the public record of Youzan's behaviour is silent or contradicts itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detail_time_unit: Literal["ms", "s"] = "ms"
    exists_code: Literal[143001027, 141502109] = 143001027
    update_missing_code: Literal[141502108, 141001107] = 141502108
    tag_relation_shape: Literal["array", "object"] = "array"
    replaced_token_minutes: int = Field(
        default=60, ge=0, le=1440, description="How long a token works after a newer one was issued in its place"
    )
    rate_limited_body: Literal["gateway", "msg", "message"] = Field(
        default="gateway", description="4101, or one of the two other bodies that were seen"
    )
    push_attempts: Literal[17, 5] = Field(default=17, description="Of a message in Youzan's form, the first included")


class LimitSettings(BaseModel):
    """What each API client of the shop may ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reads_per_second: int = Field(default=2000, ge=1, le=100_000)
    writes_per_second: int = Field(default=2000, ge=1, le=100_000)
    batches_per_second: int = Field(default=100, ge=1, le=10_000, description="batches, exports and triggers")
    rows_per_day: int = Field(default=20_000_000, ge=1, description="rows of personal data shown to one client a day")

    def of(self, route_class: str) -> tuple[int, int]:
        """Requests a second, and how many may come at once: two seconds' worth."""
        rate = {"read": self.reads_per_second, "write": self.writes_per_second}.get(
            route_class, self.batches_per_second
        )
        return rate, 2 * rate


class ShopSettings(BaseModel):
    """The `settings` of a shop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tiers: TierSettings = TierSettings()
    facade: FacadeSettings = FacadeSettings()
    limits: LimitSettings = LimitSettings()
    sensitive_attributes: bool = Field(
        default=False,
        description="Keep attributes of the class sensitive; settle purpose, consent and impact assessment first",
    )
