//! `.index`: last offset of a batch to its position, sparse.
