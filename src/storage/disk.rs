/// The disk of this machine.
#[derive(Debug)]
pub struct Disk;
