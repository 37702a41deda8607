"""Kehu: an open, self-hosted customer-operations engine that speaks Youzan's customer calls."""
