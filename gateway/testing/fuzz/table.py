"""The table of what is fuzzed. A new decoder takes a row here; its seeds then follow from
`python -m gateway.testing.fuzz --write-seeds`."""

from __future__ import annotations

from typing import Any

from gateway.net.frame_reader import FrameTooLarge
from gateway.settings.config import ConfigError
from gateway.testing.fuzz import state, user_files
from gateway.testing.fuzz.target import Target
from gateway.verify import Unreadable
from protocol import BatchError, DecodeError, UnsupportedVersion
from protocol.compression import CompressionError
from protocol.testing import fuzz_batches as batches
from protocol.testing import fuzz_messages as messages
from wal_core import Corrupt, Invalid
from wal_core.testing import fuzz_blocks as blocks
from wal_core.testing import fuzz_logstores as logstores
from wal_core.testing import fuzz_sealed as sealed
from wal_core.testing import fuzz_texts as texts


def _nothing(_: object) -> None:
    """The decoder's answer needs no further look."""


_REFUSED = (Corrupt, Invalid)
"""Damaged, or of a version that is not read here."""

# fmt: off
TARGETS: tuple[Target[Any], ...] = (
    # what clients and brokers send
    Target("frames", state.decode_frames, (FrameTooLarge,), state.check_frames, state.frames_seeds),
    Target("request", messages.decode_request_frame, (DecodeError, UnsupportedVersion),
           messages.check_request, messages.request_seeds),
    Target("response", messages.decode_response_frame, (DecodeError,), messages.check_response,
           messages.response_seeds),
    Target("consumer_protocol", messages.decode_consumer, (DecodeError,), messages.check_consumer,
           messages.consumer_seeds),
    Target("batch", batches.decode_batch, (BatchError, DecodeError), batches.check_batch,
           batches.batch_seeds),
    Target("produced_batch", batches.decode_produced, (BatchError,), batches.check_produced,
           batches.produced_seeds),
    Target("compression", batches.decode_compressed, (CompressionError,), batches.check_compressed,
           batches.compression_seeds),
    # what a log is made of
    Target("block", blocks.decode_block, _REFUSED, blocks.check_block, blocks.block_seeds),
    Target("footer", blocks.decode_footer, _REFUSED, blocks.check_footer, blocks.footer_seeds),
    Target("trailer", blocks.decode_trailer, (Corrupt,), blocks.check_trailer,
           blocks.trailer_seeds),
    Target("segment_file", blocks.decode_segment_file, _REFUSED, blocks.check_segment_file,
           blocks.segment_file_seeds),
    Target("manifest", sealed.decode_any_manifest, _REFUSED, sealed.check_manifest,
           sealed.manifest_seeds),
    Target("sealed_index", sealed.decode_sealed_index, _REFUSED, sealed.check_sealed_index,
           sealed.sealed_index_seeds),
    Target("marker", texts.decode_marker, (Invalid,), _nothing, texts.marker_seeds),
    Target("lock", texts.decode_lock, (Invalid,), texts.check_lock, texts.lock_seeds),
    # what logstores keep, and what is said to them and by them
    Target("logstore_record", logstores.decode_record, _REFUSED, logstores.check_record,
           logstores.records_seeds),
    Target("logstore_frames", logstores.decode_frames, (Corrupt,), logstores.check_frames,
           logstores.frames_seeds),
    Target("logstore_head", logstores.decode_head, (Corrupt,), logstores.check_head,
           logstores.heads_seeds),
    # what rides on a log
    Target("metadata_record", state.decode_metadata_record, _REFUSED,
           state.check_metadata_record, state.metadata_seeds),
    Target("journal_record", state.decode_journal_record, _REFUSED,
           state.check_journal_record, state.journal_seeds),
    Target("catalog", state.decode_catalog, _REFUSED, state.check_catalog, state.catalog_seeds),
    Target("remembered", state.decode_remembered, _REFUSED,
           state.check_remembered, state.remembered_seeds),
    Target("entry", state.decode_entry, _REFUSED, state.check_entry,
           state.entry_seeds),
    Target("group_record", state.decode_group_record, (DecodeError,), state.check_group_record,
           state.group_record_seeds),
    # what people write
    Target("location", texts.decode_location, (Invalid,), texts.check_location,
           texts.location_seeds),
    Target("aws_profile", texts.decode_profile, (Invalid,), texts.check_profile,
           texts.profile_seeds),
    Target("config", user_files.decode_config, (ConfigError,), user_files.check_config,
           user_files.config_seeds),
    Target("history", user_files.decode_history, (Unreadable,), user_files.check_history,
           user_files.history_seeds),
)
# fmt: on


def target_named(name: str) -> Target[Any]:
    """Raises KeyError."""
    return {target.name: target for target in TARGETS}[name]
