"""Masks as tables and properties, and models that answer masked by default."""

import json
from typing import Annotated, get_args

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.core.masking import (
    UNMASK,
    AddressField,
    BirthdayField,
    DisplayNameField,
    EmailField,
    IdentifierField,
    Kind,
    MobileField,
    NameField,
    RemarkField,
    Unmasked,
    WechatIdField,
    looks_masked,
    mask,
    masked,
)

KINDS: list[Kind] = list(get_args(Kind))

TABLE: list[tuple[Kind, str, str]] = [
    ("mobile", "13812341234", "138****1234"),
    ("mobile", "+8613812341234", "138****1234"),
    ("mobile", "0086 138-1234-1234", "138****1234"),
    ("mobile", "86 138 1234 1234", "138****1234"),
    ("mobile", "１３８１２３４１２３４", "138****1234"),
    ("mobile", "010-12345678", "010****78"),
    ("mobile", "0571 8765432", "0571****32"),
    ("mobile", "(0755)87654321", "0755****21"),
    ("mobile", "+86 10 12345678", "010****78"),
    ("mobile", "+14155552671", "+1****71"),
    ("mobile", "+85291234567", "+852****67"),
    ("mobile", "0044 20 7946 0958", "+44****58"),
    ("mobile", "4008001234", "****34"),
    ("mobile", "12345", "****"),
    ("mobile", "no number", "****"),
    ("mobile", "138****1234", "****"),
    ("contact", "13812341234", "138****1234"),
    ("contact", "ann@example.com", "a***@example.com"),
    ("contact", "上海市浦东新区世纪大道100号", "上海市浦东新区****"),
    ("contact", "wxid_7h2k9", "****"),
    ("hidden", "E12345678", "****"),
    ("name", "张三", "张**"),
    ("name", "张三丰", "张**"),
    ("name", "欧阳修", "欧阳**"),
    ("name", "司马相如", "司马**"),
    ("name", "諸葛亮", "諸葛**"),
    ("name", "欧阳", "欧**"),
    ("name", "买买提·艾力", "买**"),
    ("name", "张", "*"),
    ("name", "John Smith", "J**"),
    ("name", "Élodie", "É**"),
    ("name", " 李四 ", "李**"),
    ("name", "13812341234", "****"),
    ("email", "zhang.san@example.com", "z***@example.com"),
    ("email", "a@b@example.com", "a***@example.com"),
    ("email", "z@example.com", "***@example.com"),
    ("email", "张三@例子.公司", "张***@例子.公司"),
    ("email", "zhang.san", "****"),
    ("email", "zhang@san, 13812341234", "****"),
    ("email", "@@", "****"),
    ("address", "广东省广州市天河区体育西路123号", "广东省广州市天河区****"),
    ("address", "广东省 广州市 天河区 体育西路123号", "广东省 广州市 天河区****"),
    ("address", "北京市朝阳区建国路88号", "北京市朝阳区****"),
    ("address", "北京市北京市朝阳区建国路88号", "北京市北京市朝阳区****"),
    ("address", "上海市市辖区黄浦区南京东路1号", "上海市市辖区黄浦区****"),
    ("address", "上海浦东新区张江路1号", "上海浦东新区****"),
    ("address", "江苏省苏州市昆山市玉山镇", "江苏省苏州市昆山市****"),
    ("address", "江西省景德镇市珠山区新厂西路", "江西省景德镇市珠山区****"),
    ("address", "黑龙江省哈尔滨市道里区中央大街", "黑龙江省哈尔滨市道里区****"),
    (
        "address",
        "新疆维吾尔自治区伊犁哈萨克自治州察布查尔锡伯自治县",
        "新疆维吾尔自治区伊犁哈萨克自治州察布查尔锡伯自治县****",
    ),
    ("address", "内蒙古自治区锡林郭勒盟二连浩特市", "内蒙古自治区锡林郭勒盟二连浩特市****"),
    ("address", "广东省广州市幸福小区3栋501", "广东省广州市****"),
    ("address", "广东省东莞市翠湖一区3栋", "广东省东莞市****"),
    ("address", "浙江省杭州市文一路老王超市旁", "浙江省杭州市****"),
    ("address", "浙江省杭州市深圳大道城市花园", "浙江省杭州市****"),
    ("address", "广东省广州市", "广东省广州市****"),
    ("address", "北京", "北京****"),
    ("address", "体育西路123号", "****"),
    ("address", "10 Downing Street, London", "****"),
    ("identifier", "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "oUpF****eS6o"),
    ("identifier", "wmqfasd1e19278asdasAAAA", "wmqf****AAAA"),
    ("identifier", "C-000123", "****"),
    ("identifier", "13812341234", "****"),
    ("identifier", "11010519491231002X", "1****************X"),
    ("wechat_id", "zhangsan1990", "****"),
    ("wechat_id", "wxid_a1b2c3d4e5f6g7", "wxid****f6g7"),
    ("birthday", "1990-05-17", "1990-**-**"),
    ("birthday", "1990-05-17 00:00:00", "1990-**-**"),
    ("birthday", "1990-05-17T08:00:00+08:00", "1990-**-**"),
    ("birthday", "19900517", "1990-**-**"),
    ("birthday", "1990年5月17日", "1990-**-**"),
    ("birthday", "05-17", "****"),
    ("birthday", "0000-05-17", "****"),
    ("id_number", "11010519491231002X", "1****************X"),
    ("id_number", "110105491231002", "1*************2"),
    ("id_number", "1101054912310", "****"),
    ("bank_card", "6222 0212 3456 7890", "****7890"),
    ("bank_card", "62220212345", "****"),
    ("sensitive", "京A12345", "****45"),
    ("sensitive", "A123", "****"),
    ("remark", "喜欢下午来电，住天河区", "****"),
    ("display_name", "13812341234", "138****1234"),
    ("display_name", "张三丰", "张**"),
    ("display_name", "zhang@example.com", "z***@example.com"),
    ("display_name", "@小明", "****"),
    ("display_name", "小明13812341234", "小**"),
    ("display_name", "138 1234 1234 老王", "****"),
]


@pytest.mark.parametrize(("kind", "value", "expected"), TABLE)
def test_masks(kind: Kind, value: str, expected: str) -> None:
    assert mask(kind, value) == expected


digits = st.text(alphabet="+0123456789 -()", max_size=25)
addresses = st.lists(
    st.sampled_from(["广东省", "广州市", "天河区", "体育西路", "超市", "3栋", "自治州", "县", "内蒙古"]), max_size=12
).map("".join)
values = (
    st.text() | digits | addresses | st.text(alphabet="*", max_size=20) | st.emails() | st.text("a*@.张 ", max_size=9)
)


@pytest.mark.parametrize("kind", KINDS)
@given(value=values)
def test_any_text_is_masked(kind: Kind, value: str) -> None:
    shown = mask(kind, value)
    assert len(value) < 2 or shown != value
    assert not value or looks_masked(shown)


@pytest.mark.parametrize("kind", KINDS)
@given(value=values)
def test_masking_a_mask_is_safe_too(kind: Kind, value: str) -> None:
    once = mask(kind, value)
    assert not value or looks_masked(mask(kind, once))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_stays_nothing(kind: Kind) -> None:
    assert mask(kind, None) is None
    assert mask(kind, "") == ""


@pytest.mark.parametrize("kind", KINDS)
def test_long_texts_are_masked_quickly(kind: Kind) -> None:
    for text in ("张" * 100_000, "1" * 100_000, "广东省" + "市" * 100_000, "a." * 50_000 + "@" + "a." * 50_000):
        assert len(mask(kind, text)) < 100_010


@given(st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True), st.sampled_from(["", "+86", "86", "0086 "]))
def test_a_mobile_shows_seven_digits_and_no_more(number: str, prefix: str) -> None:
    assert mask("mobile", prefix + number) == f"{number[:3]}****{number[-4:]}"


class Person(BaseModel):
    id: int
    name: NameField = None
    mobile: MobileField = None
    email: EmailField = None
    address: AddressField = None
    remark: RemarkField = None
    birthday: BirthdayField = None
    openid: IdentifierField = None
    show_name: DisplayNameField = None
    wei_xin: WechatIdField = None
    phones: list[Annotated[str, masked("mobile")]] = []
    required: Annotated[str, masked("name")] = "王五"


PERSON = Person(
    id=1,
    name="张三",
    mobile="13812341234",
    email="zhang@example.com",
    address="北京市朝阳区建国路88号",
    remark="怕冷",
    birthday="1990-05-17",
    openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
    show_name="13812341234",
    wei_xin="zhangsan",
    phones=["13812341234"],
)
MASKED = {
    "id": 1,
    "name": "张**",
    "mobile": "138****1234",
    "email": "z***@example.com",
    "address": "北京市朝阳区****",
    "remark": "****",
    "birthday": "1990-**-**",
    "openid": "oUpF****eS6o",
    "show_name": "138****1234",
    "wei_xin": "****",
    "phones": ["138****1234"],
    "required": "王**",
}


@pytest.mark.parametrize(
    "context", [None, {}, {"unmask": False}, {"unmask": 1}, {"unmask": "yes"}, "unmask", ["unmask"]]
)
def test_a_model_answers_masked_by_default(context: object) -> None:
    assert json.loads(PERSON.model_dump_json(context=context)) == MASKED
    assert PERSON.model_dump(context=context) == MASKED


def test_only_the_context_shows_real_values() -> None:
    shown = json.loads(PERSON.model_dump_json(context=UNMASK))
    assert shown["mobile"] == "13812341234"
    assert Person.model_validate(shown) == PERSON
    assert "*" not in json.dumps(shown)


def test_the_context_reaches_nested_models() -> None:
    people = TypeAdapter(list[Person])
    assert people.dump_python([PERSON]) == [MASKED]
    assert json.loads(people.dump_json([PERSON], context={"unmask": True}))[0]["name"] == "张三"


def test_none_stays_none() -> None:
    assert Person(id=1).model_dump()["name"] is None


def test_a_model_in_a_log_line_shows_nothing() -> None:
    assert not any(value in repr(PERSON) for value in ("张三", "建国路", "怕冷", "1990", "zhang"))


def test_the_json_schema_is_that_of_a_plain_text() -> None:
    class Plain(BaseModel):
        name: str | None = None
        required: str

    class Masking(BaseModel):
        name: NameField = None
        required: Annotated[str, masked("name")]

    Masking.__name__ = "Plain"
    for mode in ("validation", "serialization"):
        schema = Masking.model_json_schema(mode=mode)
        assert schema["properties"] == Plain.model_json_schema(mode=mode)["properties"]


async def test_a_route_answers_masked_unless_it_says_otherwise() -> None:
    app = FastAPI()

    @app.get("/person")
    async def read() -> Person:
        return PERSON

    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        assert (await client.get("/person")).json() == MASKED


class Update(BaseModel):
    name: Unmasked | None = None


def test_a_masked_value_sent_back_is_refused() -> None:
    assert Update(name="张三").name == "张三"
    assert Update(name=None).name is None
    with pytest.raises(
        ValidationError, match="a masked value was sent back; send the real value or leave the field out"
    ):
        Update(name="张**")
