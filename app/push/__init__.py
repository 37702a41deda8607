"""Youzan's message push, received: kept as it came, acknowledged, and applied by the worker."""
