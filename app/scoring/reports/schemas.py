"""What crosses the wire about a shop's customers as a whole. Shares are of all customers; null where there are none."""

from datetime import date
from typing import Any, Literal
from uuid import UUID

from pydantic import AliasChoices, BaseModel, Field

Of = Literal["tier", "stage"]


class Part(BaseModel):
    """How many customers are called so."""

    name: str
    customers: int
    share: float | None


class TierPart(Part):
    """A tier, in the order of the run's definition; tiers of an older one stand last, without a label."""

    label: str | None
    expected_share: tuple[float, float] | None = Field(description="Lowest and highest, as the definition says")
    warning: str | None = Field(description="What is off, where the share is outside")


class NetPart(Part):
    """How many customers are called so, and their net spend."""

    net_fen: int


class GridCell(BaseModel):
    """A place in the grid of recency and frequency."""

    r: int
    f: int
    name: str
    customers: int
    net_fen: int


class Decile(BaseModel):
    """A tenth of the customers with a prediction, by predicted value; 1 is the most valuable."""

    decile: int
    customers: int
    from_fen: int
    to_fen: int
    sum_fen: int


class Clv(BaseModel):
    """Predicted value, of the customers for whom there is a prediction."""

    customers: int
    sum_fen: int
    mean_fen: float | None
    deciles: list[Decile]


class CycleBin(BaseModel):
    """Customers whose median gap is above the bin before and at most `to_days`; null: no end."""

    from_days: int
    to_days: int | None
    customers: int


class Cycle(BaseModel):
    """The median gap between purchase days, of customers with two or more; days."""

    customers: int
    mean_days: float | None
    q10_days: float | None
    q25_days: float | None
    median_days: float | None
    q75_days: float | None
    q90_days: float | None
    bins: list[CycleBin]


class Distribution(BaseModel):
    """How the scores of a run, or the live ones, are distributed. Where the names are not fixed, the largest first."""

    run_id: UUID = Field(description="Whose cut points and tiers count")
    kind: Literal["live", "as_of"]
    as_of: date = Field(description="Exclusive: facts before this day count")
    customers: int
    tiers: list[TierPart]
    without_tier: int = Field(description="Customers who wait to be scored")
    rfm_types: list[NetPart]
    rfm_grid: list[GridCell] = Field(description="All 25, by r and f")
    grid_names: list[NetPart] = Field(description="The grid under ten names, the best first")
    stages: list[Part]
    cycle_states: list[Part]
    churn_bands: list[Part]
    nurture_stages: list[Part]
    flags: list[Part]
    clv: Clv
    repurchase_cycle: Cycle


class MigrationMove(BaseModel):
    """How many were the one and are the other, or stayed; null: no customer yet, or no longer."""

    from_name: str | None
    to_name: str | None
    customers: int
    share: float | None = Field(description="Of all who were `from_name`; null for who was nothing yet")


class Migration(BaseModel):
    """Where customers were on one day, and where on another. Both days are exclusive, as everywhere."""

    of: Of
    from_as_of: date
    to_as_of: date
    first_as_of: date | None = Field(description="The first day that is known; null: nothing has been recorded yet")
    names: list[str] = Field(description="Tiers in the order of the published definition, then others")
    stayed: int
    moved: int = Field(description="From one to another")
    moved_up: int | None = Field(description="Among tiers of the published definition; null of stages")
    moved_down: int | None
    entered: int = Field(description="No customers yet on the first day")
    left: int
    moves: list[MigrationMove]


class PurchaseParameters(BaseModel):
    """BG/NBD; alpha in weeks."""

    r: float
    alpha: float
    a: float
    b: float


class SpendParameters(BaseModel):
    """Gamma-Gamma; v in yuan."""

    p: float
    q: float
    v: float


class _InUse(BaseModel):
    log_likelihood: float = Field(description="Of the data of the run's day")
    converged: bool
    fitted_to: date | None = Field(default=None, description="Last day of the data that they were fitted to")


class PurchasesInUse(_InUse):
    """The purchase model's parameters that customers are scored with."""

    parameters: PurchaseParameters


class SpendInUse(_InUse):
    """The spend model's parameters that customers are scored with."""

    parameters: SpendParameters


class _Optimum(BaseModel):
    log_likelihood: float
    customers: int | None = None
    iterations: int | None = None
    converged: bool
    messages: list[str] = []


class PurchasesOptimum(_Optimum):
    """What fits the run's day best; not in use while the parameters in use describe it as well."""

    parameters: PurchaseParameters


class SpendOptimum(_Optimum):
    """The same of the spend model."""

    parameters: SpendParameters


class Declined(BaseModel):
    """Why there is no prediction."""

    code: str
    detail: str | None = Field(default=None, validation_alias=AliasChoices("detail", "message"))


class Models(BaseModel):
    """What a run's predictions rest on."""

    run_id: UUID
    as_of: date
    fitted_to: date = Field(description="The last day whose facts were fitted to")
    unit: str = Field(description="Of time in the purchase model's parameters")
    customers: int | None = Field(description="Customers with a purchase")
    repeaters: int | None = Field(description="Those of them who bought on more than one day")
    purchases: PurchasesInUse | None
    spend: SpendInUse | None
    purchases_optimum: PurchasesOptimum | None
    spend_optimum: SpendOptimum | None
    declined: Declined | None
    backtest: dict[str, Any] | None = Field(description="How a fit to an earlier day foretold what came after it")
