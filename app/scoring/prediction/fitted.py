"""What a fit says: parameters in use, the optimum of the day, and how both describe the data; or why there is none."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final, Generic, Literal, Self, TypeVar

from app.scoring.prediction import bgnbd, gamma_gamma

UNIT: Final = "week"

P = TypeVar("P", bgnbd.Parameters, gamma_gamma.Parameters)

Shortage = Literal["too_few_customers", "too_short_a_time", "too_few_frequent", "too_few_spenders"]


@dataclass(frozen=True, slots=True)
class Declined:
    """Too little data to fit anything: what was found, what is needed, and a sentence that says both."""

    code: Shortage
    message: str
    found: int
    needed: int


@dataclass(frozen=True, slots=True)
class Optimum(Generic[P]):
    """Where the likelihood of one model is largest on the data of a day, and how that was found.

    Attributes:
        log_likelihood: of all customers who count, in weeks or yuan.
        customers: how many count.
        converged: an interior maximum was found. Otherwise `messages` say why not, and the parameters describe nobody.
    """

    parameters: P
    log_likelihood: float
    customers: int
    iterations: int
    converged: bool
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InUse(Generic[P]):
    """The parameters that customers are scored with.

    Attributes:
        log_likelihood: of the data of the fit's day, which may be later than `fitted_to`.
        converged: of the fit that they come from.
        fitted_to: last day of the data that they were fitted to.
    """

    parameters: P
    log_likelihood: float
    converged: bool
    fitted_to: date


@dataclass(frozen=True, slots=True)
class Fit:
    """Both models: the parameters in use beside the optimum of the data up to `fitted_to`, its last day.

    Attributes:
        unit: of time in the purchase model's parameters.
        customers: how many histories there were; `repeaters` of them bought on more than one day.
    """

    fitted_to: date
    customers: int
    repeaters: int
    purchases: InUse[bgnbd.Parameters]
    spend: InUse[gamma_gamma.Parameters]
    purchases_optimum: Optimum[bgnbd.Parameters]
    spend_optimum: Optimum[gamma_gamma.Parameters]
    unit: str = UNIT

    def __post_init__(self) -> None:
        if self.unit != UNIT:
            raise ValueError(f"unit must be {UNIT}, not {self.unit}: fit again")

    @property
    def usable(self) -> bool:
        """Whether customers can be scored: the parameters in use come from optima that were found."""
        return self.purchases.converged and self.spend.converged

    def as_dict(self) -> dict[str, Any]:
        """For JSON; days are texts."""
        values = asdict(self)
        values["fitted_to"] = self.fitted_to.isoformat()
        for name in ("purchases", "spend"):
            values[name]["fitted_to"] = values[name]["fitted_to"].isoformat()
            values[f"{name}_optimum"]["messages"] = list(values[f"{name}_optimum"]["messages"])
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `as_dict` gave, also by way of JSON. Raises ValueError naming the field that is missing or wrong."""
        try:
            return cls(
                fitted_to=date.fromisoformat(values["fitted_to"]),
                customers=values["customers"],
                repeaters=values["repeaters"],
                purchases=_in_use(bgnbd.Parameters, values["purchases"]),
                spend=_in_use(gamma_gamma.Parameters, values["spend"]),
                purchases_optimum=_optimum(bgnbd.Parameters, values["purchases_optimum"]),
                spend_optimum=_optimum(gamma_gamma.Parameters, values["spend_optimum"]),
                unit=values["unit"],
            )
        except KeyError as error:
            raise ValueError(f"the stored fit has no {error.args[0]}: fit again") from error
        except TypeError as error:
            raise ValueError(f"the stored fit cannot be read ({error}): fit again") from error


def _in_use(parameters: type[P], values: Mapping[str, Any]) -> InUse[P]:
    rest = {name: value for name, value in values.items() if name not in ("parameters", "fitted_to")}
    return InUse(
        parameters=parameters(**values["parameters"]), fitted_to=date.fromisoformat(values["fitted_to"]), **rest
    )


def _optimum(parameters: type[P], values: Mapping[str, Any]) -> Optimum[P]:
    rest = {name: value for name, value in values.items() if name not in ("parameters", "messages")}
    return Optimum(parameters=parameters(**values["parameters"]), messages=tuple(values["messages"]), **rest)
