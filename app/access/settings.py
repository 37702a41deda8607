"""What one shop can set for itself; every value has a default that works."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


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


class KindPolicy(BaseModel):
    """What one kind of identity may do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strength: int = Field(ge=0, le=100, description="The stronger identity decides whom a write is for")
    limit: int = Field(ge=1, le=1000, description="How many of one scope are active at a time")
    over_limit: Literal["replace", "apart"] = Field(
        default="replace",
        description="One more: takes the place of the oldest, which stays as history; or stays apart, for review",
    )
    period_limit: int | None = Field(default=None, ge=1, le=10_000, description="How many may be new within the period")
    period_days: int = Field(default=365, ge=1, le=3650)
    merges: Literal["always", "verified", "never"] = Field(
        description="Whether a write that names one of each may make two customers one by itself"
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.period_limit is not None and self.period_limit < self.limit:
            raise ValueError("period_limit is at least limit")
        return self


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


class IdentitySettings(BaseModel):
    """Which identities find, join and keep apart customers; one field for each kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mobile: KindPolicy = KindPolicy(strength=90, limit=1, period_limit=6, merges="verified")
    email: KindPolicy = KindPolicy(strength=40, limit=3, merges="verified")
    wechat_openid: KindPolicy = KindPolicy(strength=60, limit=1, over_limit="apart", merges="always")
    wechat_unionid: KindPolicy = KindPolicy(strength=100, limit=1, over_limit="apart", merges="always")
    wecom_external_userid: KindPolicy = KindPolicy(strength=80, limit=5, merges="always")
    fans_id: KindPolicy = KindPolicy(strength=50, limit=10, merges="always")
    open_user_id: KindPolicy = KindPolicy(strength=80, limit=5, merges="always")
    card_no: KindPolicy = KindPolicy(strength=60, limit=10, merges="always")
    external_id: KindPolicy = KindPolicy(strength=70, limit=10, merges="always")
    mobile_token: KindPolicy = KindPolicy(strength=30, limit=20, merges="always")
    device: KindPolicy = KindPolicy(strength=10, limit=5, merges="never")
    blocked: tuple[Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_pattern)], ...] = Field(
        default=(),
        max_length=100,
        description="Regular expressions of values that stand for nobody, beside the built-in ones; matched whole "
        "against the normalised value, whatever its kind",
    )
    silent_days: int = Field(
        default=180, ge=1, le=3650, description="A number that was not seen for so long may be somebody else's by now"
    )


class ShopSettings(BaseModel):
    """The `settings` of a shop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tiers: TierSettings = TierSettings()
    facade: FacadeSettings = FacadeSettings()
    limits: LimitSettings = LimitSettings()
    identity_policy: IdentitySettings = IdentitySettings()
    sensitive_attributes: bool = Field(
        default=False,
        description="Keep attributes of the class sensitive; settle purpose, consent and impact assessment first",
    )
