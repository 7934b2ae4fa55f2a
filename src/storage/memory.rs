/// A disk in memory.
#[derive(Debug)]
pub struct Memory;
