//! Recovery as tables: chain, tail, derived files (the owner table stands in `directory/owner.rs`). Each row has a letter, a condition, an
//! action and the reason; each table is total, by test. Pure: facts in, a plan out.
