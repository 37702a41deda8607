"""What crosses the wire about segments."""

from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, model_validator

from app.segments.readymade import READY_MADE
from app.segments.rules.text.reading import read
from app.segments.rules.tree import Rule
from app.segments.schemas import RuleAsk
from app.tags.schemas import Name
from app.uses.schemas import UsedBy

MOST_AT_ONCE = 1_000
READY_MADE_BY_SLUG = {ready.slug: ready for ready in READY_MADE}


def _ready(slug: str) -> str:
    if slug not in READY_MADE_BY_SLUG:
        near = get_close_matches(slug, READY_MADE_BY_SLUG, n=1, cutoff=0)[0]
        raise ValueError(f"there is no such rule; did you mean {near}? GET /v1/segments/ready-made lists them")
    return slug


Slug = Annotated[str, AfterValidator(_ready)]

SegmentNumber = Annotated[int, Field(ge=1, lt=2**53)]
SegmentName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Short = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Long = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
Announce = Annotated[
    Literal["each", "batches", "nothing"],
    Field(
        description="How segment.entered and segment.left are sent: one for each customer; one for up to 1,000 "
        "who come or go at once; not at all"
    ),
]
CustomerIds = Annotated[
    list[Annotated[int, Field(strict=True, ge=1, lt=2**53)]], Field(min_length=1, max_length=MOST_AT_ONCE)
]


class SegmentCreate(BaseModel):
    """A segment: of whoever meets a rule, or of a list."""

    model_config = ConfigDict(extra="forbid")

    name: SegmentName
    kind: Literal["dynamic", "static"] = "dynamic"
    rule: Rule | None = Field(default=None, description="Of a dynamic one: who is in it")
    text: str | None = Field(default=None, description="In place of `rule`: docs/rules.md, as people write it")
    ready_made: Slug | None = Field(default=None, description="In place of `rule`: see GET /v1/segments/ready-made")
    snapshot: RuleAsk | None = Field(
        default=None, description="Of a static one: whoever meets this rule now is put on its list"
    )
    customer_ids: CustomerIds | None = Field(default=None, description="Of a static one: who is on its list")
    description: Long | None = None
    folder: Short | None = None
    owner: Short | None = Field(default=None, description="Who answers for it")
    tag: Name | None = Field(
        default=None, description="An automatic tag that its members carry; it is made where there is none"
    )
    announce: Announce = "batches"
    _tree: Any = PrivateAttr(None)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        written = [self.rule is not None, self.text is not None, self.ready_made is not None].count(True)
        if self.kind == "dynamic" and written != 1:
            raise ValueError("write who is in it as one of rule, text and ready_made, or kind static")
        if self.kind == "dynamic" and (self.snapshot is not None or self.customer_ids is not None):
            raise ValueError("snapshot and customer_ids are for kind static: a rule says who is in a dynamic segment")
        if self.kind == "static" and written:
            raise ValueError("a static segment follows no rule: write snapshot for whoever meets it now")
        if self.ready_made is not None:
            self._tree = READY_MADE_BY_SLUG[self.ready_made].rule
        else:
            self._tree = read(self.text) if self.text is not None else self.rule
        return self

    @property
    def tree(self) -> Any:
        """The rule, however it was written; None of a static one."""
        return self._tree


class SegmentPatch(BaseModel):
    """Absent keeps; null clears what can be absent. A rule is a new version, which counts once it is built."""

    model_config = ConfigDict(extra="forbid")

    name: SegmentName | None = None
    rule: Rule | None = None
    text: str | None = Field(default=None, description="In place of `rule`")
    version: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The version that the change is based on: refused when there is a newer one"
    )
    description: Long | None = None
    folder: Short | None = None
    owner: Short | None = None
    announce: Announce | None = None
    _tree: Any = PrivateAttr(None)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in ("name", "rule", "text", "announce"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null: leave it out to keep it")
        if self.rule is not None and self.text is not None:
            raise ValueError("write the rule as rule or as text, and as one of them only")
        self._tree = read(self.text) if self.text is not None else self.rule
        return self

    @property
    def tree(self) -> Any:
        """The new rule, however it was written; None keeps the one there is."""
        return self._tree


class SegmentRead(BaseModel):
    """A segment, and how it stands."""

    segment_id: int
    name: str
    kind: Literal["dynamic", "static"]
    state: Literal["active", "archiving", "archived"]
    description: str | None
    folder: str | None
    owner: str | None
    tag: str | None
    announce: Literal["each", "batches", "nothing"]
    version: int = Field(description="The newest")
    live_version: int | None = Field(description="The one that membership follows; null before the first build is done")
    size: int = Field(description="Who is in it, as of the last refresh or sweep")
    computed_at: datetime | None = Field(description="When everybody was last looked at")
    took_ms: int | None = Field(description="How long that took")
    created_at: datetime
    updated_at: datetime


class VersionRead(BaseModel):
    """A version of a segment's rule."""

    version: int
    state: Literal["waiting", "live", "superseded", "failed"]
    rule: dict[str, Any] | None = Field(
        description="Null of a static segment, of nobody, as when it is archived, and where it is `masked`"
    )
    masked: bool = Field(description="It asks for what the caller sees masked, and is shown with `pii:read` only")
    problem: str | None = Field(description="Why it could not be built")
    actor: str | None
    created_at: datetime
    live_at: datetime | None


class SegmentDetail(SegmentRead):
    """A segment with its newest rule, and what surrounds it."""

    rule: dict[str, Any] | None = Field(
        description="The newest version's; null of a static or archived segment, and where it is `masked`"
    )
    masked: bool = Field(description="It asks for what the caller sees masked, and is shown with `pii:read` only")
    problem: str | None = Field(
        description="Why the newest version could not be built, or why the live one is not kept any more"
    )
    building: bool = Field(description="Everybody is being looked at")
    next_sweep_at: datetime | None = Field(description="When it is next looked for those whom time turns; null: never")
    used_by: UsedBy


class SegmentDefined(SegmentDetail):
    """The segment after a change. Follow the build that applies it at GET /v1/jobs/{job_id}."""

    job_id: UUID | None = Field(default=None, description="Null: nothing has to be built")


class SegmentPage(BaseModel):
    """Segments, newest first."""

    items: list[SegmentRead]
    next_cursor: str | None


class VersionPage(BaseModel):
    """Versions, newest first."""

    items: list[VersionRead]
    next_cursor: str | None


class BuildAccepted(BaseModel):
    """Follow the job at GET /v1/jobs/{job_id}."""

    job_id: UUID


class ListChange(BaseModel):
    """Who is put on a static segment's list, or taken from it."""

    model_config = ConfigDict(extra="forbid")

    customer_ids: CustomerIds


class ListChanged(BaseModel):
    """What became of it. Members follow within moments."""

    changed: int
    unchanged: int = Field(description="Who was on the list already, or was not")
    unknown: list[int] = Field(description="Numbers of nobody")
