"""What is left of a personal value when it is shown masked, by class of field."""

import re
import unicodedata
from collections.abc import Callable
from typing import Literal, overload

import phonenumbers

Kind = Literal[
    "address",
    "bank_card",
    "birthday",
    "contact",
    "display_name",
    "email",
    "hidden",
    "id_number",
    "identifier",
    "mobile",
    "name",
    "remark",
    "sensitive",
    "wechat_id",
]

HIDDEN = "****"

# Surnames of two characters that are still borne, in both scripts; otherwise the first character is the surname.
_COMPOUND_SURNAME = re.compile(
    "万俟|上官|东方|东郭|东门|东野|乐正|亓官|仲孙|令狐|公冶|公孙|公羊|公良|公西|单于|南宫|南门|司寇|司徒|司空|司马|呼延|夏侯|太叔|太史|夹谷|子车|宇文|宗政|宰父|尉迟|左丘|巫马|延陵|微生"
    "|慕容|拓跋|梁丘|欧阳|段干|淳于|漆雕|濮阳|澹台|独孤|申屠|百里|皇甫|相里|端木|第五|纳兰|羊舌|耶律|西门|诸葛|谷梁|贺兰|赫连|轩辕|达奚|钟离|长孙|闻人|闾丘|鲜于|完颜|富察|東方|東郭|東野"
    "|樂正|仲孫|公孫|單于|南宮|南門|司馬|東門|尉遲|巫馬|歐陽|段幹|濮陽|澹臺|獨孤|納蘭|西門|諸葛|穀梁|賀蘭|赫連|軒轅|達奚|鍾離|長孫|聞人|閭丘|鮮于|完顏"
)

_MOBILE = re.compile(r"(?:\+?86|0086)?(1[3-9][0-9])[0-9]{4}([0-9]{4})")
_LANDLINE = re.compile(r"(?:(?:\+?86|0086)0?|0)(10|2[0-9]|[3-9][0-9]{2})[0-9]{5,6}([0-9]{2})")
_PHONE_PUNCTUATION = re.compile(r"[\s()./-]+")
_PHONE_SHAPE = re.compile(r"(?:\+|00)?[0-9]{7,15}")

_DOMAIN = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63})+")
_ID_NUMBER = re.compile(r"[0-9]{17}[0-9Xx]|[0-9]{15}")
_BIRTHDAY = re.compile(r"((?:19|20)[0-9]{2})[-/.年]?[01]?[0-9][-/.月]?[0-3]?[0-9]日?(?:[T ][0-9:.Z+-]*)?")

_PROVINCE = re.compile(
    r"(?:北京|天津|上海|重庆)市?|内蒙古(?:自治区)?|广西(?:壮族自治区)?|西藏(?:自治区)?|宁夏(?:回族自治区)?|"
    r"新疆(?:维吾尔自治区)?|(?:香港|澳门)(?:特别行政区)?|(?:河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|"
    r"湖南|广东|海南|四川|贵州|云南|陕西|甘肃|青海|台湾)省?"
)
# A place ends where a street, village or building begins, so their characters do not stand inside one. The lengths
# are those of the longest real names: without a limit, text before the next ending would be taken for a name.
_HAN = r"[\u3400-\u4dbf\u4e00-\u9fff](?<![省区县路街村号弄巷栋楼室])(?<![大街人]道)"
_TOWN = rf"(?:{_HAN}){{2,4}}?(?<![超菜城夜闹集])市(?!辖)"
_CITY = re.compile(rf"[\s,，]*(?:{_TOWN}|(?:{_HAN}){{2,10}}?自治州|(?:{_HAN}){{2,5}}?(?:地区|盟)|市辖区)")
_DISTRICT = re.compile(
    rf"[\s,，]*(?:(?:{_HAN}){{2,14}}?自治[县旗]|{_TOWN}|(?:{_HAN}){{1,5}}?县|(?:{_HAN}){{2,6}}?旗|"
    # Estates, campuses and numbered blocks are addresses of people, though they end like a district.
    rf"(?:{_HAN}){{2,4}}?(?<![小社园校景厂院片库墅活属宅舍业一二三四五六七八九十])区)"
)


@overload
def mask(kind: Kind, value: None) -> None: ...
@overload
def mask(kind: Kind, value: str) -> str: ...
def mask(kind: Kind, value: str | None) -> str | None:
    """The masked form. Never raises for a known kind, never returns a value of two or more characters as it was.

    None and the empty text, which façade answers use for "none", hide nothing and stay.
    """
    if not value:
        return value
    masked = "*" if len(value) == 1 else _MASKS[kind](value.strip())
    # Equal only if it was masked before, or made of stars. Then the shape tells nothing, so it is dropped too.
    return masked if masked != value else "*" * (len(HIDDEN) + 1 if value == HIDDEN else len(HIDDEN))


def looks_masked(value: str) -> bool:
    """Whether the text can be one of our masked forms: all contain a star."""
    return "*" in value


def _phone(value: str) -> str:
    """`138****1234`; area code and last 2 of a landline; country code and last 2 of any other number."""
    number = _PHONE_PUNCTUATION.sub("", unicodedata.normalize("NFKC", value))
    if mobile := _MOBILE.fullmatch(number):
        return f"{mobile[1]}{HIDDEN}{mobile[2]}"
    if landline := _LANDLINE.fullmatch(number):
        return f"0{landline[1]}{HIDDEN}{landline[2]}"
    if not _PHONE_SHAPE.fullmatch(number):
        return HIDDEN
    return f"{_country_code(number)}{HIDDEN}{number[-2:]}"


def _country_code(number: str) -> str:
    if not number.startswith(("+", "00")):
        return ""
    try:
        return f"+{phonenumbers.parse('+' + number.removeprefix('+').removeprefix('00')).country_code}"
    except phonenumbers.NumberParseException:
        return ""


def _name(value: str) -> str:
    """The surname: one or two characters of a Chinese name, the first letter of any other. Length is hidden too."""
    if len(value) > 2 and _COMPOUND_SURNAME.match(value):
        return value[:2] + "**"
    return value[0] + "**" if value[:1].isalpha() and len(value) > 1 else HIDDEN


def _email(value: str) -> str:
    local, at, domain = value.rpartition("@")
    if not at or not _DOMAIN.fullmatch(domain):
        return HIDDEN
    # The first character of a one-character mailbox would be all of it.
    return f"{local[0] if len(local) > 1 else ''}***@{domain}"


def _address(value: str) -> str:
    """Province, city and district, as far as they are written with their endings; without a province, nothing."""
    end = 0
    for part in (_PROVINCE, _CITY, _DISTRICT):
        if found := part.match(value, end):
            end = found.end()
        elif part is _PROVINCE:
            return HIDDEN
    return value[:end] + HIDDEN


def _identifier(value: str) -> str:
    """First 4 and last 4 of ids long enough to hide as much as they show; an ID number used as an id, as such."""
    if _ID_NUMBER.fullmatch(value):
        return _id_number(value)
    return f"{value[:4]}{HIDDEN}{value[-4:]}" if len(value) >= 16 else HIDDEN


def _id_number(value: str) -> str:
    return value[0] + "*" * (len(value) - 2) + value[-1] if len(value) in {15, 18} else HIDDEN


def _bank_card(value: str) -> str:
    number = re.sub(r"[\s-]+", "", value)
    return HIDDEN + number[-4:] if re.fullmatch(r"[0-9]{12,}", number) else HIDDEN


def _birthday(value: str) -> str:
    """The year stays; a text that is no date keeps nothing."""
    found = _BIRTHDAY.fullmatch(value)
    return f"{found[1]}-**-**" if found else HIDDEN


def _sensitive(value: str) -> str:
    """Plates, passports and other values of the highest class: the last 2, if that leaves more than half hidden."""
    return HIDDEN + value[-2:] if len(value) >= 5 else HIDDEN


def _display_name(value: str) -> str:
    """A name, or the mobile or mail address that stood in for one."""
    if "@" in value:
        return _email(value)
    digits = _PHONE_PUNCTUATION.sub("", unicodedata.normalize("NFKC", value))
    return _phone(value) if _PHONE_SHAPE.fullmatch(digits) else _name(value)


def _contact(value: str) -> str:
    """Some way to reach a person, nobody knows which: of a mail address, number or postal address, what those leave."""
    if "@" in value:
        return _email(value)
    digits = _PHONE_PUNCTUATION.sub("", unicodedata.normalize("NFKC", value))
    return _phone(value) if _PHONE_SHAPE.fullmatch(digits) else _address(value)


def _hidden(value: str) -> str:
    return HIDDEN


_MASKS: dict[Kind, Callable[[str], str]] = {
    "address": _address,
    "bank_card": _bank_card,
    "birthday": _birthday,
    "contact": _contact,
    "display_name": _display_name,
    "email": _email,
    "hidden": _hidden,
    "id_number": _id_number,
    "identifier": _identifier,
    "mobile": _phone,
    "name": _name,
    "remark": _hidden,
    "sensitive": _sensitive,
    "wechat_id": _identifier,
}
