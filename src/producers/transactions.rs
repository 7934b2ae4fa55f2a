//! Open and decided transactions, and the last stable offset.
