"""The ledger: every model call is reserved before it is made and settled after it, in one SQL database.

A process killed between the two leaves only a reserved row. Once its time to live has passed it counts as spent:
no budget stays blocked and no call is free.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from aegis_dagster.domain.accounts import (
    Account,
    AccountKey,
    AccountKind,
    AccountLimits,
    BudgetRefusal,
    Reservation,
    Settlement,
)
from aegis_dagster.domain.money import Month, NanoUsd, month_of
from aegis_dagster.errors import ConfigurationError, ServiceError
from aegis_dagster.ports import Clock
from aegis_dagster.stores.database import read, write
from aegis_dagster.stores.ledger.accounts import AccountBook, account_of, limit_in_settings, new_account
from aegis_dagster.stores.ledger.batch import EXPIRED_AT_ONCE, Batch
from aegis_dagster.stores.ledger.schema import llm_accounts
from aegis_dagster.stores.ledger.writer import GroupWriter

EXPIRE_EVERY_SECONDS = 5.0  # in each process that reserves
MOST_NANOUSD = 2**63 - 1  # the largest value of a column

_Operation: TypeAlias = Reservation | Settlement


class Ledger:
    """Accounts and calls in the database of `engine`. Each object has one writer thread, started by its first call.

    It may be used from any number of threads and event loops, concurrently or one after another.
    """

    def __init__(self, engine: Engine, clock: Clock, limits: AccountLimits) -> None:
        self._engine = engine
        self._clock = clock
        self._limits = limits
        self._writer = GroupWriter[_Operation, BudgetRefusal | None](self._do, name="ledger")
        self._expired_at = float("-inf")  # time.monotonic

    async def reserve(self, reservation: Reservation) -> BudgetRefusal | None:
        """Reserve the amount in every account that the call charges, all or nothing. None: reserved.

        Raises ServiceError, IntegrityError (the call id is already in the ledger), ValueError (a negative amount).
        """
        if not 0 <= reservation.amount <= MOST_NANOUSD:
            raise ValueError(f"{reservation.amount} nano-USD cannot be reserved.")
        return await asyncio.wrap_future(self._writer.submit(reservation, droppable=True))

    async def settle(self, settlement: Settlement) -> None:
        """Replace a reservation by the actual cost, even if the caller is cancelled meanwhile.

        Settling again, or after the reservation has expired, changes nothing. Raises ServiceError, ValueError (a
        negative cost).
        """
        if settlement.cost is not None and not 0 <= settlement.cost <= MOST_NANOUSD:
            raise ValueError(f"A call cannot cost {settlement.cost} nano-USD.")
        await asyncio.wrap_future(self._writer.submit(settlement, droppable=False))

    async def aclose(self) -> None:
        """Finish the waiting operations, then end the writer thread."""
        await asyncio.to_thread(self._writer.close)

    def expire(self) -> int:
        """Charge the reservations of calls whose time to live has passed. Returns how many. Raises ServiceError."""
        found = 0
        while True:
            with write(self._engine) as connection:
                expired = Batch(connection, self._limits, self._clock.now()).expire()
            found += expired
            if expired < EXPIRED_AT_ONCE:
                return found

    def accounts(self, month: Month | None = None) -> list[Account]:
        """Accounts of providers, then of limited collections, by name, including those not charged yet.

        month: None: all months that have accounts; those not charged yet are listed for the current month only.
        """
        table, current = llm_accounts, month_of(self._clock.now())
        query = sa.select(table).where(table.c.kind != AccountKind.RUN.value)
        if month is not None:
            query = query.where(table.c.period == month)
        with read(self._engine) as connection:
            found = {account.key: account for account in map(account_of, connection.execute(query))}
        for kind, names in (
            (AccountKind.PROVIDER, self._limits.providers),
            (AccountKind.COLLECTION, self._limits.collections),
        ):
            for name in names:
                key = AccountKey(kind, name, month or current)
                found.setdefault(key, new_account(key, self._limits))
        # The next reservation will apply the settings' limit to the current month: show it already.
        order = sorted(found, key=lambda key: (key.kind is not AccountKind.PROVIDER, key))
        shown = [self._following(found[key]) if key.period == current else found[key] for key in order]
        return [account for account in shown if account.key.kind is AccountKind.PROVIDER or _limited(account)]

    def set_limit(self, key: AccountKey, limit: NanoUsd | None) -> Account:
        """Override the settings' limit of an account; None: unlimited.

        Raises ConfigurationError (a run while runs have no limit, or too much), ValueError (negative), ServiceError.
        """
        return self._change(key, lambda account: replace(account, limit=limit, set_by_operator=True))

    def raise_limit(self, key: AccountKey, by: NanoUsd) -> Account:
        """Add to the limit of an account. An unlimited account stays unlimited. Raises as `set_limit`."""
        if by < 0:
            raise ValueError(f"A limit cannot be raised by {by} nano-USD.")
        return self._change(
            key,
            lambda account: (
                account
                if account.limit is None
                else replace(account, limit=NanoUsd(account.limit + by), set_by_operator=True)
            ),
        )

    def follow_settings(self, key: AccountKey) -> Account:
        """Return an account to the settings' limit. Raises as `set_limit`."""
        limit = limit_in_settings(key, self._limits)
        return self._change(key, lambda account: replace(account, limit=limit, set_by_operator=False))

    def _change(self, key: AccountKey, change: Callable[[Account], Account]) -> Account:
        if key.kind is AccountKind.RUN and self._limits.per_run is None:
            raise ConfigurationError(
                "Runs have no limit, so that none can be changed.", remedy="set llm.budgets.per_run in aegis.yaml."
            )
        with write(self._engine) as connection:
            book = AccountBook(connection, self._limits)
            book.lock([], opening=[key])
            changed = change(book[key])
            if changed.limit is not None and changed.limit < 0:
                raise ValueError(f"A limit of {changed.limit} nano-USD.")
            if changed.limit is not None and changed.limit > MOST_NANOUSD:
                raise ConfigurationError(
                    f"The limit of {key.name} would be more than can be accounted.",
                    remedy="give a smaller one, or none: unlimited.",
                )
            book.set(changed)
            book.write_back()
        return changed

    def _following(self, account: Account) -> Account:
        if account.set_by_operator:
            return account
        return replace(account, limit=limit_in_settings(account.key, self._limits))

    def _do(self, operations: Sequence[_Operation]) -> list[BudgetRefusal | Exception | None]:
        return [result for part in _parts(operations) for result in self._do_part(part)]

    def _do_part(self, operations: list[_Operation]) -> list[BudgetRefusal | Exception | None]:
        """Run all in one transaction; if one fails, each in its own, so that only that one gets an error."""
        try:
            return [*self._transaction(operations)]
        except ServiceError as error:
            return [error for _ in operations]
        except Exception as error:
            if len(operations) == 1:
                return [error]
            return [result for operation in operations for result in self._do_part([operation])]

    def _transaction(self, operations: list[_Operation]) -> list[BudgetRefusal | None]:
        reservations = [operation for operation in operations if isinstance(operation, Reservation)]
        settlements = [operation for operation in operations if isinstance(operation, Settlement)]
        expire = bool(reservations) and time.monotonic() >= self._expired_at + EXPIRE_EVERY_SECONDS
        with write(self._engine) as connection:
            batch = Batch(connection, self._limits, self._clock.now())  # the time when the lock was acquired
            refusals = iter(batch.run(reservations, settlements, expire=expire))
        if expire:
            self._expired_at = time.monotonic()
        return [next(refusals) if isinstance(operation, Reservation) else None for operation in operations]


def _limited(account: Account) -> bool:
    return account.limit is not None or account.set_by_operator


def _parts(operations: Sequence[_Operation]) -> Iterator[list[_Operation]]:
    """Split operations into batches: a batch settles before it reserves, so a call needs two for both."""
    part: list[_Operation] = []
    reserved: set[str] = set()
    for operation in operations:
        if isinstance(operation, Settlement) and operation.call_id in reserved:
            yield part
            part, reserved = [], set()
        part.append(operation)
        if isinstance(operation, Reservation):
            reserved.add(operation.call_id)
    if part:
        yield part
