"""The one writer of a log: opening with a fence, blocks, segments, handover."""
