"""What one shop can set for itself; every value has a default that works."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RfmSettings(_Part):
    """How r, f and m are made, and what parts high from low in the eight types."""

    method: Literal["cut_points", "cume_dist"] = Field(
        default="cut_points", description="q20…q80 by linear interpolation; or fifths by cumulative distribution"
    )
    types_by: Literal["mean", "median", "score"] = Field(
        default="mean", description="the mean or the median of the values; or the mean of the scores"
    )


class StageSettings(_Part):
    """The lifecycle stage. Days count from the last order, event or registration, where nothing else is said."""

    new_days: int = Field(default=30, ge=1, le=3650, description="New for so many days since registration")
    mature_orders: int = Field(default=3, ge=2, le=1000, description="Orders within a year that make it regular")
    dormant_days: int = Field(default=180, ge=1, le=3650)
    lost_days: int = Field(default=365, ge=2, le=3650)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lost_days <= self.dormant_days:
            raise ValueError("lost_days is more than dormant_days")
        return self


class CycleSettings(_Part):
    """The repurchase cycle: what multiple of it makes a customer due, overdue, dormant, lost."""

    own_purchase_days: int = Field(
        default=3, ge=2, le=100, description="From so many purchase days on, the median of their own gaps counts"
    )
    category_customers: int = Field(
        default=50, ge=5, le=1_000_000, description="A category has a cycle from so many customers with gaps on"
    )
    least_days: int = Field(default=7, ge=1, le=365, description="No cycle is shorter")
    due: float = Field(default=1.0, gt=0, le=100)
    overdue: float = Field(default=1.5, gt=0, le=100)
    dormant: float = Field(default=3.0, gt=0, le=100)
    lost: float = Field(default=6.0, gt=0, le=100)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.due < self.overdue < self.dormant < self.lost:
            raise ValueError("due, overdue, dormant and lost rise in this order")
        return self


class ClvSettings(_Part):
    """Customer lifetime value, simple and predicted."""

    years_kept: float = Field(default=3.0, gt=0, le=50)
    tenure_floor_days: int = Field(
        default=365, ge=1, le=3650, description="A shorter tenure counts as so long: few days would explode"
    )
    least_customers: int = Field(default=500, ge=50, le=10_000_000, description="Below, the model declines")
    least_days: int = Field(default=180, ge=30, le=3650, description="of history; below, the model declines")
    monthly_discount: float = Field(default=0.0, ge=0, le=0.2, description="0.01 is one per cent a month")


class PreferenceSettings(_Part):
    """Who looks for price, who for quality, who takes part."""

    discount_share: float = Field(default=0.3, gt=0, lt=1, description="Price-sensitive from this share taken off")
    quality_share: float = Field(default=0.2, gt=0, lt=1, description="The top share by average price of an item")
    quality_discount_share: float = Field(default=0.1, ge=0, lt=1, description="and at most this share taken off")
    social_events: int = Field(default=3, ge=1, le=1000, description="within 180 days")
    vip_drop_share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="Of the highest tier, and this month's interactions below this share of "
        "the mean of the five months before",
    )


class LeadSettings(_Part):
    """Points of people without orders; together at most 100."""

    sources: dict[Annotated[str, Field(max_length=32)], Annotated[int, Field(ge=0, le=40)]] = Field(
        default={}, max_length=100, description="Points by source_channel"
    )
    other_source: int = Field(default=10, ge=0, le=40, description="Points of any other source_channel, or none")
    warm_from: int = Field(default=30, ge=1, le=100)
    hot_from: int = Field(default=60, ge=1, le=100)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.hot_from <= self.warm_from:
            raise ValueError("hot_from is more than warm_from")
        return self


_Types = tuple[Annotated[str, Field(min_length=1, max_length=64)], ...]


class InteractionSettings(_Part):
    """Which types of events count as which kind of interaction; every type counts as one of some kind."""

    view: _Types = ("view",)
    cart: _Types = ("cart",)
    favourite: _Types = ("favourite",)
    consult: _Types = ("consult",)
    visit: _Types = ("visit",)
    social: _Types = ("share", "comment", "invite", "community_join", "check_in", "campaign_response")

    def kinds(self) -> dict[str, str]:
        """Event type to kind; a type that is named twice has the first kind."""
        kinds: dict[str, str] = {}
        for kind, types in self:
            for name in types:
                kinds.setdefault(name, kind)
        return kinds


class ScoringSettings(_Part):
    """What scores are made with, apart from the definition of tiers. Each run keeps those of its day."""

    rfm: RfmSettings = RfmSettings()
    stages: StageSettings = StageSettings()
    cycle: CycleSettings = CycleSettings()
    clv: ClvSettings = ClvSettings()
    preferences: PreferenceSettings = PreferenceSettings()
    leads: LeadSettings = LeadSettings()
    interactions: InteractionSettings = InteractionSettings()


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

    scoring: ScoringSettings = ScoringSettings()
    facade: FacadeSettings = FacadeSettings()
    limits: LimitSettings = LimitSettings()
    identity_policy: IdentitySettings = IdentitySettings()
    sensitive_attributes: bool = Field(
        default=False,
        description="Keep attributes of the class sensitive; settle purpose, consent and impact assessment first",
    )
