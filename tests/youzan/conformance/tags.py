"""Contract 7: tags."""

from typing import Any, Final

from tests.youzan.conformance.patterns import Each, Has
from tests.youzan.conformance.requests import BY_MOBILE, row
from tests.youzan.conformance.world import KNOWN, Row, call, data, open_id, refused, text_of

_ADD: Final = "youzan.scrm.tag.relation.add/4.0.0"
_DELETE: Final = "youzan.scrm.tag.relation.delete/4.0.0"
_GET: Final = "youzan.scrm.tag.relation.get/4.0.0"
_NOBODY: Final = {"account_type": "Mobile", "account_id": "13800009999"}


def _names(*names: str) -> list[dict[str, str]]:
    return [{"tag_name": name} for name in names]


def _added(*names: str) -> Row:
    """What has to be there before: these tags on somebody known."""
    return row("7", "tags", call(_ADD, BY_MOBILE | {"tags": _names(*names)}), data(True))


def _many(*names: str) -> dict[str, Any]:
    account = {"account": BY_MOBILE, "user_tag_creates": _names(*names)}
    return {"account_list_request_dtos": [account]}


ROWS: Final = (
    row("7 relation.add", "an array of names", call(_ADD, BY_MOBILE | {"tags": _names("新客", "vip")}), data(True)),
    row("7 relation.add", "the array as text", call(_ADD, BY_MOBILE | {"tags": text_of(_names("新客"))}), data(True)),
    row(
        "7 relation.add",
        "at most 20",
        call(_ADD, BY_MOBILE | {"tags": _names(*(str(n) for n in range(21)))}),
        refused(141500101),
    ),
    row(
        "7 relation.add",
        "at most 32 characters",
        call(_ADD, BY_MOBILE | {"tags": _names("长" * 33)}),
        refused(141500101),
    ),
    row("7 relation.add", "142400105: nobody", call(_ADD, _NOBODY | {"tags": _names("vip")}), refused(142400105)),
    row(
        "7 relation.delete", "what they lack is no error", call(_DELETE, BY_MOBILE | {"tags": _names("无")}), data(True)
    ),
    row("7 relation.get", "a bare array, empty", call(_GET, BY_MOBILE), data([])),
    row("7 relation.get", "id and name", call(_GET, BY_MOBILE), data([{"id": int, "name": "vip"}]), _added("vip")),
    row(
        "7 tagrelation.query",
        "tags with their category, and the open id",
        call(
            "youzan.scrm.tagrelation.query/1.0.0",
            {"account": BY_MOBILE, "display_type": 2, "filter_invalid_tag": True, "filter_category_tag": True},
        ),
        data(
            {
                "tags": [{"name": "vip", "tag_id": int, "category_name": str, "category_id": int}],
                "yz_open_id": open_id,
            }
        ),
        _added("vip"),
    ),
    row(
        "7 tagrelation",
        "add and delete",
        call("youzan.scrm.tagrelation.delete/1.0.0", {"account": BY_MOBILE, "tags": _names("vip")}),
        data(True),
        row(
            "7 tagrelation",
            "add",
            call("youzan.scrm.tagrelation.add/1.0.0", {"account": BY_MOBILE, "tags": _names("vip")}),
            data(True),
        ),
    ),
    row(
        "7 addformany",
        "tags that are there",
        call("youzan.scrm.tag.addformany/1.0.0", _many("vip")),
        data(True),
        _added("vip"),
    ),
    row("7 addformany", "tags must exist", call("youzan.scrm.tag.addformany/1.0.0", _many("none")), refused(142400105)),
    row(
        "7 category.get",
        "the category and its tags",
        call("youzan.scrm.tag.category.get/1.0.0", {"tag_category_id": 0}),
        data(
            Has(
                {
                    "tag_category_id": 0,
                    "tag_category_name": str,
                    "tag_category_status": int,
                    "kdt_id": lambda world: world.shop.id,
                    "allow_view_roles": list,
                    "allow_edit_roles": list,
                }
            )
        ),
    ),
    row(
        "5.5",
        "tag_ids",
        call("list/1.0.0", {"tag_ids": [1]}),
        data({"total": 0, "page_no": 1, "record_list": []}),
    ),
    row(
        "5.8",
        "the tags that somebody carries",
        call("detail.get/1.0.1", {"account_info": {"account_type": 2, "account_id": KNOWN}, "fields": "tags"}),
        data(Has({"tags": Each({"tag_id": int, "tag_name": str}), "tag_ids": [int]})),
        _added("vip"),
    ),
)
