"""Reading at a glance and reading carefully say the same of every row, or the glance says nothing."""

from hypothesis import given
from hypothesis import strategies as st

from app.customers.service import Write
from app.imports.customer_rows import to_customer, to_write
from app.imports.glance import at_a_glance
from app.imports.rows import Row
from tests.imports.files import SHANGHAI, asked

_odd = st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=12).filter(str.strip)
_CELLS = {
    "mobile": st.sampled_from(["15400000001", "+8615400000001", "8615400000001", "11400000001", "+4915112345678", "*"]),
    "external_id": st.sampled_from(["M1", "m 1", "编号", "M" * 257, "M\x7f", "M1"]),
    "email": st.sampled_from(["a@example.com", "A@b.co", "a@b", "a@@b.co", "a@b..co", "é@b.co", "a.b-c@d-e.f.cn"]),
    "wechat_openid": st.sampled_from(["o1", "o 2"]),
    "wechat_appid": st.sampled_from(["wx1", "w" * 65]),
    "fans_id": st.sampled_from(["77", "7x"]),
    "card_no": st.sampled_from(["K1", "ＫＫ", "K*"]),
    "name": st.sampled_from(["陈雨", "A" * 101, "陈*"]),
    "remark": st.sampled_from(["***", "a*b", "好"]),
    "gender": st.sampled_from(["0", "1", "2", "男", "女", "M", "3"]),
    "birthday": st.sampled_from(["1990-01-02", "1990/1/2", "1899-12-31", "2999-01-01", "1990-02-30", "1990-W01-1"]),
    "area_code": st.sampled_from(["310104", "31010", "３１０１０４"]),
    "store_id": st.sampled_from(["1", "0", "12.0", "1,200", "9" * 16, "９"]),
    "source_channel": st.sampled_from(["0", "1000", "100000"]),
    "member_since": st.sampled_from(
        ["2024-01-01 10:00", "2024-01-01T10:00:00Z", "2024-01-01 10:00:00+08:00", "2024-01-01", "1899-01-01 00:00",
         "2200-01-01 00:00", "2024-13-01 00:00", "2024-01-01 10:00+99:00", "2199-12-31 23:59:59-12:00"]
    ),
    "created_at": st.sampled_from(["2024-01-01 10:00", "2024-01-01T10:00:00+00:00", "noon"]),
}  # fmt: skip


@given(st.fixed_dictionaries({}, optional={name: cells | _odd.map(str.strip) for name, cells in _CELLS.items()}))
def test_a_glance_says_what_careful_reading_says(cells: dict[str, str]) -> None:
    row = Row(2, {name: cell for name, cell in cells.items() if cell})
    with asked("crm") as how:
        known = at_a_glance(row, how)
        if known is None:
            return
        identities, fields, created_at = known
        careful = to_write(2, to_customer(row, source="crm", zone=SHANGHAI), how)
    assert Write(identities, fields, created_at) == careful
    assert fields.keys() == careful.fields.keys()


def test_the_usual_row_is_read_at_a_glance() -> None:
    cells = {"mobile": "15400000001", "name": "陈雨", "gender": "女", "birthday": "1990-01-02", "store_id": "12"}
    with asked("crm") as how:
        assert at_a_glance(Row(2, cells | {"created_at": "2024-01-01 10:00:00"}), how) is not None
