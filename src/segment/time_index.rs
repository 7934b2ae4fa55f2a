//! `.timeindex`: the largest timestamp up to an offset.
