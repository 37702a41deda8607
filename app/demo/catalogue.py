"""What the demo brand is made of: its stores, its products and the parts that names are put together from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Store:
    """A branch. `weight` is its share of the brand's visitors; `area_code` the six digits of its district."""

    store_id: int
    name: str
    city: str
    area_code: str
    weight: int


@dataclass(frozen=True, slots=True, eq=False)
class Category:
    """A kind of product: days a piece lasts, share of purchases, and its (summer, winter) demand against the year's."""

    name: str
    lasts_days: int
    weight: int
    summer: float
    winter: float


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """One article of the list; `price_fen` is its list price."""

    sku: str
    name: str
    category: Category
    price_fen: int


STORES = (
    Store(100001, "澄屿上海静安店", "上海", "310106", 16),
    Store(100002, "澄屿上海浦东店", "上海", "310115", 13),
    Store(100003, "澄屿北京朝阳店", "北京", "110105", 13),
    Store(100004, "澄屿北京海淀店", "北京", "110108", 9),
    Store(100005, "澄屿广州天河店", "广州", "440106", 10),
    Store(100006, "澄屿深圳南山店", "深圳", "440305", 10),
    Store(100007, "澄屿杭州西湖店", "杭州", "330106", 8),
    Store(100008, "澄屿成都锦江店", "成都", "510104", 8),
    Store(100009, "澄屿武汉江汉店", "武汉", "420103", 5),
    Store(100010, "澄屿南京鼓楼店", "南京", "320106", 5),
    Store(100011, "澄屿西安雁塔店", "西安", "610113", 4),
    Store(100012, "澄屿重庆渝中店", "重庆", "500103", 4),
)

_RANGES: tuple[tuple[Category, str, tuple[tuple[str, int], ...]], ...] = (
    (
        Category("洁面", 60, 14, 1.15, 0.95),
        "CL",
        (
            ("氨基酸洁面乳 120g", 12800),
            ("净透洁面泡沫 150ml", 13800),
            ("温和卸妆油 200ml", 16800),
            ("舒缓卸妆膏 100g", 15800),
            ("海盐洁面皂 80g", 6800),
        ),
    ),
    (
        Category("爽肤水", 70, 11, 1.1, 0.9),
        "TN",
        (
            ("玻尿酸保湿水 200ml", 16800),
            ("清爽控油水 200ml", 15800),
            ("积雪草舒缓喷雾 150ml", 11800),
            ("玫瑰花水 150ml", 9800),
            ("焕亮精华水 160ml", 26800),
        ),
    ),
    (
        Category("精华", 75, 12, 0.95, 1.1),
        "SE",
        (
            ("烟酰胺亮肤精华 30ml", 29800),
            ("玻色因紧致精华 30ml", 42800),
            ("维C焕亮精华 30ml", 33800),
            ("二裂酵母修护精华 50ml", 36800),
            ("视黄醇晚间精华 30ml", 39800),
            ("神经酰胺屏障精华 30ml", 31800),
        ),
    ),
    (
        Category("乳霜", 80, 11, 0.75, 1.35),
        "CR",
        (
            ("水润保湿乳 100ml", 19800),
            ("清爽保湿凝霜 50g", 22800),
            ("修护滋养面霜 50g", 28800),
            ("夜间焕活霜 50g", 32800),
            ("舒敏特护霜 50g", 25800),
        ),
    ),
    (
        Category("眼部", 85, 6, 0.95, 1.1),
        "EY",
        (
            ("多肽紧致眼霜 15g", 28800),
            ("咖啡因走珠眼精华 15ml", 16800),
            ("修护眼膜 30对", 14800),
            ("抗皱眼霜 20g", 36800),
        ),
    ),
    (
        Category("防晒", 45, 8, 2.2, 0.35),
        "SU",
        (
            ("轻透防晒乳 SPF50 50ml", 13800),
            ("清爽防晒喷雾 150ml", 12800),
            ("物理防晒霜 SPF40 40g", 15800),
            ("素颜隔离防晒 40ml", 16800),
        ),
    ),
    (
        Category("面膜", 30, 13, 1.0, 1.1),
        "MA",
        (
            ("玻尿酸补水面膜 5片", 7900),
            ("舒缓修护面膜 5片", 8900),
            ("亮肤面膜 10片", 14900),
            ("清洁泥膜 100g", 12800),
            ("睡眠面膜 80g", 13800),
            ("蜂胶滋养面膜 5片", 8900),
        ),
    ),
    (
        Category("底妆", 120, 6, 0.95, 1.05),
        "FA",
        (
            ("柔雾持妆粉底液 30ml", 25800),
            ("水光气垫 12g", 23800),
            ("丝柔散粉 10g", 16800),
            ("遮瑕膏 5g", 11800),
            ("妆前乳 30ml", 14800),
        ),
    ),
    (
        Category("唇妆", 100, 9, 1.0, 1.05),
        "LP",
        (
            ("丝绒哑光唇釉", 12900),
            ("水光镜面唇釉", 12900),
            ("滋润口红", 15900),
            ("润色唇膏", 6900),
            ("唇部磨砂膏 15g", 7900),
            ("豆沙唇泥", 9900),
        ),
    ),
    (
        Category("眼妆", 110, 5, 1.0, 1.0),
        "EM",
        (("十二色眼影盘", 19800), ("纤长睫毛膏", 11800), ("极细眼线液笔", 8800), ("三头眉笔", 6900)),
    ),
    (
        Category("身体", 55, 6, 0.85, 1.3),
        "BO",
        (
            ("香氛沐浴露 400ml", 9800),
            ("果酸身体乳 250ml", 12800),
            ("滋养护手霜 50g", 4900),
            ("身体磨砂膏 200g", 10800),
            ("留香身体乳 300ml", 11800),
        ),
    ),
    (
        Category("洗护", 60, 5, 1.05, 0.95),
        "HA",
        (("控油洗发水 400ml", 9900), ("修护护发素 400ml", 9900), ("防脱精华 100ml", 18800), ("护发精油 80ml", 12800)),
    ),
    (
        Category("香氛", 200, 2, 0.9, 1.2),
        "FR",
        (("白茶淡香水 50ml", 39800), ("橙花淡香水 50ml", 39800), ("雪松香薰蜡烛 160g", 19800)),
    ),
    (
        Category("工具", 180, 3, 1.0, 1.0),
        "TO",
        (("化妆刷八支装", 15900), ("美妆蛋三只装", 4900), ("便携化妆镜", 6900), ("棉柔洗脸巾 6包", 5900)),
    ),
)

CATEGORIES = tuple(category for category, _, _ in _RANGES)
PRODUCTS = tuple(
    Product(f"CY-{prefix}{number:02}", name, category, price_fen)
    for category, prefix, articles in _RANGES
    for number, (name, price_fen) in enumerate(articles, start=1)
)

SURNAMES = tuple("王李张刘陈杨黄赵周吴徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈")
FEMALE_GIVEN = tuple("婷雪梦怡欣雨晨佳琪思颖静敏慧芳琳璐瑶菲萱涵诗语嘉宁悦蕾洁莉娜丹倩雯妍馨彤岚薇")
MALE_GIVEN = tuple("伟强磊洋勇军杰涛超明刚浩宇轩博文俊凯鹏飞宁晨泽睿航")
STREETS = ("梧桐", "清溪", "云栖", "望江", "松涛", "明月", "长亭", "花溪", "青枫", "听雨")
REMARKS = (
    "敏感肌",
    "油性肌肤",
    "偏好小样",
    "喜欢清淡香型",
    "生日月到店",
    "只要无酒精产品",
    "推荐给闺蜜",
    "需提前电话预约",
)
