//! Write beside, sync, rename, sync the directory: how a small file changes from one whole content to another.
use super::Storage;
use crate::error::Result;
use std::path::Path;
/// Replaces the file at `path` by `content`, through `<name>.tmp`. Durable on return. A crash leaves the old content or the new.
pub(crate) fn replace_file(storage: &dyn Storage, path: &Path, content: &[u8]) -> Result<()> {
    let _ = (storage, path, content);
    todo!()
}
