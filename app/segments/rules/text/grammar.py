"""The grammar of the text form, the same for both languages: LALR, so that no input takes long."""

from typing import Final

# Words that are names where a name is expected: a property may be called sku.
SOFT: Final = (
    *("FIELD", "DATE", "ORDER", "EVENT", "COUNT", "SUM", "AVERAGE", "MAX", "PRODUCTS", "CATEGORIES", "STORES"),
    *("NET", "GROSS", "SKU", "CHANNEL", "CATEGORY", "STORE"),
)

GRAMMAR: Final = f"""
    ?start: either
    ?either: both | both (_OR both)+ -> any_of
    ?both: single | single (_AND single)+ -> all_of
    ?single: condition
        | _NOT single -> negated
        | _LPAR either _RPAR
        | _ALL _LPAR either (_COMMA either)* _RPAR -> all_of
        | _ANY _LPAR either (_COMMA either)* _RPAR -> any_of
    condition: field | share | date | attribute | tag | segment | identity | consent | event | order | sequence

    field: field_name comparison
    share: field_name (TOP | BOTTOM) part (BUYERS | EVERYBODY)
    ?field_name: FIELD | PRODUCTS | CATEGORIES | STORES
    part: NUMBER [PERCENT]
    attribute: ATTRIBUTE name comparison
        | ATTRIBUTE name dated -> date_attribute
    tag: TAG EQ? name
        | TAG _IN values -> tags
    segment: SEGMENT EQ? NUMBER
        | SEGMENT _IN values -> segments
    identity: IDENTITY name [_SCOPE name]
    consent: CONSENT name [_FOR name] (GRANTED | WITHDRAWN | NONE)

    ?comparison: (EQ | YES | NE | GE | GT | LE | LT) value -> compared
        | _IN values -> any_listed
        | _NOT_IN values -> none_listed
        | (CONTAINS | STARTS) value -> lettered
        | (KNOWN | UNKNOWN) -> known
    ?value: (STRING | DAY) -> text
        | amount
        | (TRUE | YES | FALSE) -> truth
    ?amount: NUMBER _FEN? -> number
        | NUMBER _YUAN -> yuan
    values: _LPAR value (_COMMA value)* _RPAR

    date: DATE asked
        | DATE_ATTRIBUTE name asked -> date_attribute
    ?asked: dated
        | (KNOWN | UNKNOWN) -> known
    ?dated: (GT | GE | _OLDER) length _AGO? -> older
        | (LT | LE) length _AGO? -> newer
        | window -> within
        | _prefix? _NEXT length -> ahead
        | _ANNIVERSARY _prefix? _NEXT length -> anniversary

    event: event_step [window] times
        | event_step times window -> event_counted
    order: order_step [window] (COUNT | SUM | AVERAGE | MAX | PRODUCTS | CATEGORIES | STORES) [NET | GROSS] figure
    figure: (EQ | YES | GE | GT | LE | LT) amount -> compared
    sequence: (event_step | order_step) [window] [repeated] outcome
    repeated: often _DURING sliding
    outcome: (_THEN (event_step | order_step) _prefix sliding) -> then
        | (_WITHOUT (event_step | order_step) _prefix sliding) -> without
    ?times: often
        | NEVER -> never
    often: (EQ | YES | GE | GT | LE | LT) NUMBER _TIMES?

    event_step: EVENT event_name [where]
    ?event_name: name
        | ACT -> act
    where: _WHERE _LPAR property ((_AND | _COMMA) property)* _RPAR
    property: name comparison
    order_step: ORDER [lists]
    lists: _WHERE _LPAR list ((_AND | _COMMA) list)* _RPAR
    list: (SKU | CHANNEL | CATEGORY | CATEGORIES | STORE | STORES) (_IN values | (EQ | YES) value)

    ?window: _prefix? span
    _prefix: _IN | _WITHIN
    ?span: _LAST length -> last
        | CALENDAR -> calendar
        | _FROM day [_TO day] -> since
        | _TO day -> until
    day: STRING | DAY
    length: NUMBER (HOURS | DAYS | CALENDAR_DAYS)
    sliding: NUMBER (HOURS | DAYS) -> length
    name: STRING | NAME | {" | ".join(SOFT)}
"""
TERMINALS: Final = ("STRING", "NUMBER", "DAY", "NAME", "FIELD", "DATE", "CALENDAR", "ACT")
