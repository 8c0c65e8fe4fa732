"""The ledger's accounts within one transaction: opened, locked, charged, and written back once.

A collection has an account even without a limit, so that a limit set in the middle of a month includes the costs
of that month so far. A run has an account only while runs have a limit.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from aegis_dagster.domain.accounts import Account, AccountKey, AccountKind, AccountLimits
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.stores.ledger.schema import llm_accounts

_T = llm_accounts.c
_KEY = (_T.kind, _T.name, _T.period)
# As text, because SQLAlchemy compiles `on_conflict_do_nothing` at every execution, which takes longer than running it.
_NAMES = [column.name for column in llm_accounts.columns]
_OPEN = sa.text(
    f"INSERT INTO llm_accounts ({', '.join(_NAMES)}) VALUES ({', '.join(f':{name}' for name in _NAMES)}) "
    "ON CONFLICT (kind, name, period) DO NOTHING"
)
# Every transaction locks rows in the order of their keys, so that two of them cannot deadlock.
_LOCK = (
    sa.select(llm_accounts)
    # For triples SQLite reads every account; for kinds and names it uses the index.
    .where(_T.kind.in_(sa.bindparam("kinds", expanding=True)), _T.name.in_(sa.bindparam("names", expanding=True)))
    .where(sa.tuple_(*_KEY).in_(sa.bindparam("keys", expanding=True)))
    .order_by(*_KEY)
    .with_for_update()
)
_WRITE = (
    sa.update(llm_accounts)
    .where(_T.kind == sa.bindparam("of_kind"), _T.name == sa.bindparam("of_name"))
    .where(_T.period == sa.bindparam("of_period"))
    .values(
        {
            column: sa.bindparam(f"new_{column}")
            for column in ("limit_nanousd", "reserved_nanousd", "spent_nanousd", "set_by_operator")
        }
    )
)


def charged(*, provider: str, collection: str, run_id: str, month: str) -> list[AccountKey]:
    """The accounts of a call, in the order in which they may refuse it. run_id: "" if runs have no limit."""
    keys = [AccountKey(AccountKind.PROVIDER, provider, month)]
    if collection:
        keys.append(AccountKey(AccountKind.COLLECTION, collection, month))
    if run_id:
        keys.append(AccountKey(AccountKind.RUN, run_id, ""))
    return keys


def limit_in_settings(key: AccountKey, limits: AccountLimits) -> NanoUsd | None:
    """The limit of this account in the settings, in nano-USD; None: unlimited."""
    match key.kind:
        case AccountKind.PROVIDER:
            return limits.providers.get(key.name)
        case AccountKind.COLLECTION:
            return limits.collections.get(key.name)
        case AccountKind.RUN:
            return limits.per_run


def new_account(key: AccountKey, limits: AccountLimits) -> Account:
    """An account that has not been charged yet."""
    return Account(key, limit_in_settings(key, limits), NanoUsd(0), NanoUsd(0))


def account_of(row: Row[Any]) -> Account:
    """A row of `llm_accounts`."""
    key = AccountKey(AccountKind(row.kind), row.name, row.period)
    limit = None if row.limit_nanousd is None else NanoUsd(row.limit_nanousd)
    return Account(key, limit, NanoUsd(row.reserved_nanousd), NanoUsd(row.spent_nanousd), bool(row.set_by_operator))


class AccountBook:
    """The accounts of one write transaction. `write_back` writes the changes to the database."""

    def __init__(self, connection: Connection, limits: AccountLimits) -> None:
        self._connection = connection
        self._limits = limits
        self._stored: dict[AccountKey, Account] = {}
        self._now: dict[AccountKey, Account] = {}

    def __getitem__(self, key: AccountKey) -> Account:
        return self._now[key]

    def lock(self, charged: Collection[AccountKey], *, opening: Iterable[AccountKey] = ()) -> None:
        """Read and lock these accounts. Missing ones in `opening` are created; those in it follow the settings."""
        to_open = sorted(set(opening))
        if to_open:
            self._connection.execute(_OPEN, [_values(new_account(key, self._limits)) for key in to_open])
        keys = {*charged, *to_open}
        if not keys:
            return
        wanted = {
            "kinds": sorted({key.kind.value for key in keys}),
            "names": sorted({key.name for key in keys}),
            "keys": [(key.kind.value, key.name, key.period) for key in sorted(keys)],
        }
        rows = self._connection.execute(_LOCK, wanted)
        self._stored = {account.key: account for account in map(account_of, rows)}
        self._now = dict(self._stored)
        for key in to_open:
            if not self._now[key].set_by_operator:
                self._now[key] = replace(self._now[key], limit=limit_in_settings(key, self._limits))

    def set(self, account: Account) -> None:
        """Replace a locked account."""
        self._now[account.key] = account

    def reserve(self, key: AccountKey, amount: int) -> None:
        """Reserve an amount. The caller has checked that it fits."""
        account = self._now[key]
        self._now[key] = replace(account, reserved=NanoUsd(account.reserved + amount))

    def spend(self, key: AccountKey, *, reserved: int, cost: int) -> None:
        """Replace a reservation by a cost."""
        account = self._now[key]
        self._now[key] = replace(
            account, reserved=NanoUsd(account.reserved - reserved), spent=NanoUsd(account.spent + cost)
        )

    def write_back(self) -> None:
        """Write each changed account once."""
        changed = [self._now[key] for key in sorted(self._now) if self._now[key] != self._stored[key]]
        if changed:
            self._connection.execute(
                _WRITE,
                [
                    {
                        "of_kind": account.key.kind.value,
                        "of_name": account.key.name,
                        "of_period": account.key.period,
                        "new_limit_nanousd": account.limit,
                        "new_reserved_nanousd": account.reserved,
                        "new_spent_nanousd": account.spent,
                        "new_set_by_operator": account.set_by_operator,
                    }
                    for account in changed
                ],
            )


def _values(account: Account) -> dict[str, Any]:
    return {
        "kind": account.key.kind.value,
        "name": account.key.name,
        "period": account.key.period,
        "limit_nanousd": account.limit,
        "reserved_nanousd": account.reserved,
        "spent_nanousd": account.spent,
        "set_by_operator": account.set_by_operator,
    }
