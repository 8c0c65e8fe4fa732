"""The statements of claims.

They run for every batch of documents, and are built once: SQLAlchemy takes longer to build one than to run it.
"""

from typing import Any

import sqlalchemy as sa

from aegis_dagster.domain.stages import Status
from aegis_dagster.stores.catalog.schema import artifact_garbage, documents, stage_states

# The columns of a state, in the order of `state_of`.
STATE_COLUMNS = (
    *("status", "fingerprint", "attempts", "error_code", "error_message", "error_remedy", "retryable"),
    *("started_ms", "finished_ms", "facts"),
)
_S = stage_states.c
_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_AT: sa.BindParameter[Any] = sa.bindparam("at")
_MINE = (_S.document_id.in_(_IDS), _S.stage == _AT, _S.lease_owner == sa.bindparam("owner"))
STATES = (
    sa.select(documents.c.id, documents.c.revision, documents.c.deleted)
    .add_columns(*(_S[name] for name in (*STATE_COLUMNS, "lease_owner", "lease_expires_ms")))
    .select_from(documents.outerjoin(stage_states, sa.and_(_S.document_id == documents.c.id, _S.stage == _AT)))
    .where(documents.c.id.in_(_IDS))
    .order_by(documents.c.id)
)
# No other transaction removes one of these documents before the end of this one.
STATES_TO_CLAIM = STATES.with_for_update(read=True, key_share=True, of=documents)
HELD = sa.select(_S.document_id, _S.fingerprint).where(*_MINE).order_by(_S.document_id)
HELD_UNTIL_COMMIT = HELD.with_for_update()
FINISH = sa.update(stage_states).where(_S.document_id == sa.bindparam("of"), _S.stage == _AT)  # one, with its columns
RELEASE = (
    sa.update(stage_states)
    .where(*_MINE)
    .values(status=Status.PENDING, lease_owner=None, lease_expires_ms=None, attempts=_S.attempts - 1)
)
USING = sa.select(_S.stage, _S.fingerprint).where(_S.fingerprint.in_(sa.bindparam("fingerprints", expanding=True)))
SWEPT = sa.delete(artifact_garbage).where(
    artifact_garbage.c.stage == _AT, artifact_garbage.c.fingerprint == sa.bindparam("named")
)
