//! Directories and files in memory: the half that `Memory` and the simulated disk share.
//!
//! A tree shows what programs see at once; what a crash leaves of it is not its business. Paths
//! are taken apart by name only: a root or a leading dot mean the top, which is always there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Access, Entry, EntryKind};
use crate::error::{Error, ErrorKind, Result};

/// What a file is lengthened with at a time.
const ZEROS: [u8; 4096] = [0; 4096];

/// A file or directory, whatever its name is by now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct NodeId(u64);

/// The directory that is always there.
pub(super) const TOP: NodeId = NodeId(0);

/// A name within a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) directory: NodeId,
    pub(super) name: OsString,
}

/// A node under a name that it has just got, or lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Named {
    pub(super) place: Place,
    pub(super) node: NodeId,
}

/// A rename that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Renamed {
    pub(super) from: Place,
    pub(super) to: Place,
    pub(super) node: NodeId,
}

/// The names in one directory.
pub(super) type Names = BTreeMap<OsString, NodeId>;

#[derive(Clone, Debug)]
struct File {
    bytes: Vec<u8>,
    modified: SystemTime,
    name_count: usize,
    open_count: usize,
}

#[derive(Clone, Debug)]
struct Directory {
    names: Names,
    modified: SystemTime,
}

#[derive(Clone, Debug)]
enum Node {
    File(File),
    Directory(Directory),
}

/// Directories and files, who has them open, and how much room is left.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: HashMap<NodeId, Node>,
    next_node: u64,
    locked: HashSet<NodeId>,
    capacity_bytes: u64,
    used_bytes: u64,
}

impl Tree {
    /// Nothing but the top.
    pub(super) fn new(capacity_bytes: u64) -> Self {
        let mut tree = Self {
            nodes: HashMap::new(),
            next_node: TOP.0 + 1,
            locked: HashSet::new(),
            capacity_bytes,
            used_bytes: 0,
        };
        tree.put_directory(TOP, Names::new());
        tree
    }

    /// The file at `path`.
    pub(super) fn file_at(&self, path: &Path) -> Result<NodeId> {
        let node = self
            .resolve(path)
            .map_err(|error| Error::io("open the file", path, error))?;
        match self.nodes.get(&node) {
            Some(Node::File(_)) => Ok(node),
            _ => Err(Error::new(ErrorKind::InvalidInput, "not a regular file").path_is(path)),
        }
    }

    /// The directory at `path`.
    pub(super) fn directory_at(&self, path: &Path) -> Result<NodeId> {
        let failed = |error| Error::io("open the directory", path, error);
        let node = self.resolve(path).map_err(failed)?;
        match self.nodes.get(&node) {
            Some(Node::Directory(_)) => Ok(node),
            _ => Err(Error::new(ErrorKind::InvalidInput, "not a directory").path_is(path)),
        }
    }

    pub(super) fn create_file(&mut self, path: &Path, at: SystemTime) -> Result<Named> {
        let file = File {
            bytes: Vec::new(),
            modified: at,
            name_count: 1,
            open_count: 0,
        };
        self.insert(path, Node::File(file), at)
            .map_err(|error| Error::io("create the file", path, error))
    }

    pub(super) fn create_dir(&mut self, path: &Path, at: SystemTime) -> Result<Named> {
        let directory = Directory {
            names: Names::new(),
            modified: at,
        };
        self.insert(path, Node::Directory(directory), at)
            .map_err(|error| Error::io("create the directory", path, error))
    }

    pub(super) fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        let directory = self.directory_at(path)?;
        let names = self.names(directory).into_iter().flatten();
        Ok(names
            .filter_map(|(name, node)| Some(entry_of(name, self.nodes.get(node)?)))
            .collect())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, at: SystemTime) -> Result<Renamed> {
        let action = format!("rename the file to {}", to.display());
        self.try_rename(from, to, at)
            .map_err(|error| Error::io(&action, from, error))
    }

    pub(super) fn remove_file(&mut self, path: &Path, at: SystemTime) -> Result<Named> {
        let failed = |error: io::Error| Error::io("remove the file", path, error);
        let node = self.resolve(path).map_err(failed)?;
        if self.names(node).is_some() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        self.unlink(path, node, at).map_err(failed)
    }

    pub(super) fn remove_dir(&mut self, path: &Path, at: SystemTime) -> Result<Named> {
        let failed = |error: io::Error| Error::io("remove the directory", path, error);
        let node = self.resolve(path).map_err(failed)?;
        match self.names(node) {
            None => Err(failed(io::ErrorKind::NotADirectory.into())),
            Some(names) if !names.is_empty() => {
                Err(failed(io::ErrorKind::DirectoryNotEmpty.into()))
            }
            Some(_) => self.unlink(path, node, at).map_err(failed),
        }
    }

    /// Locks the file at `path`, which [`Tree::let_go`] undoes.
    pub(super) fn lock(&mut self, path: &Path) -> Result<NodeId> {
        let node = self.file_at(path)?;
        if !self.locked.insert(node) {
            return Err(
                Error::new(ErrorKind::Locked, "somebody else holds the lock")
                    .path_is(path)
                    .remedy("close the other writer, or read with Log::view"),
            );
        }
        self.hold(node);
        Ok(node)
    }

    pub(super) fn unlock(&mut self, node: NodeId) {
        self.locked.remove(&node);
        self.let_go(node);
    }

    pub(super) fn is_locked(&self, path: &Path) -> Result<bool> {
        match self.file_at(path) {
            Ok(node) => Ok(self.locked.contains(&node)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// One more has the file open: it stays when its name goes.
    pub(super) fn hold(&mut self, node: NodeId) {
        if let Some(file) = self.file_mut(node) {
            file.open_count += 1;
        }
    }

    /// One less has the file open.
    pub(super) fn let_go(&mut self, node: NodeId) {
        if let Some(file) = self.file_mut(node) {
            file.open_count = file.open_count.saturating_sub(1);
        }
        self.free_if_unused(node);
    }

    /// All holders are gone, as after the death of the process.
    #[cfg(feature = "sim")]
    pub(super) fn let_go_of_all(&mut self) {
        self.locked.clear();
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        for node in nodes {
            if let Some(file) = self.file_mut(node) {
                file.open_count = 0;
            }
            self.free_if_unused(node);
        }
    }

    pub(super) fn len_bytes(&self, node: NodeId) -> u64 {
        self.file(node).map_or(0, |file| file.bytes.len() as u64)
    }

    /// Fills `buffer` from `position` on; the count is short only where the file ends.
    pub(super) fn read_at(&self, node: NodeId, buffer: &mut [u8], position: u64) -> usize {
        let bytes = self.file(node).map_or(&[][..], |file| &file.bytes);
        let rest = usize::try_from(position)
            .ok()
            .and_then(|start| bytes.get(start..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        count
    }

    /// Writes as many of `bytes` as there is room for, and tells how many.
    pub(super) fn write_at(
        &mut self,
        node: NodeId,
        bytes: &[u8],
        position: u64,
        at: SystemTime,
    ) -> usize {
        let len_bytes = self.len_bytes(node);
        let room_end = len_bytes.saturating_add(self.free_bytes());
        let fitting = usize::try_from(room_end.saturating_sub(position)).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(fitting)];
        let end = position.saturating_add(bytes.len() as u64);
        if bytes.is_empty() || (end > len_bytes && !self.set_len(node, end, at)) {
            return 0;
        }
        let Some(file) = self.file_mut(node) else {
            return 0;
        };
        let start = file
            .bytes
            .len()
            .min(usize::try_from(position).unwrap_or(usize::MAX));
        file.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        file.modified = at;
        bytes.len()
    }

    /// Cuts the file or lengthens it with zeros; whether there was room.
    #[must_use]
    pub(super) fn set_len(&mut self, node: NodeId, len_bytes: u64, at: SystemTime) -> bool {
        let free_bytes = self.free_bytes();
        let Some(file) = self.file_mut(node) else {
            return false;
        };
        let old_bytes = file.bytes.len() as u64;
        let Ok(len) = usize::try_from(len_bytes) else {
            return false;
        };
        let more = len.saturating_sub(file.bytes.len());
        if more as u64 > free_bytes || file.bytes.try_reserve(more).is_err() {
            return false;
        }
        file.bytes.truncate(len);
        // Copied, and not filled byte by byte, which takes Miri a second for each prepared piece of a segment.
        while file.bytes.len() < len {
            let step = ZEROS.len().min(len - file.bytes.len());
            file.bytes.extend_from_slice(&ZEROS[..step]);
        }
        file.modified = at;
        self.used_bytes = self.used_bytes + len_bytes - old_bytes;
        true
    }

    pub(super) fn set_modified(&mut self, node: NodeId, at: SystemTime) {
        if let Some(file) = self.file_mut(node) {
            file.modified = at;
        }
    }

    /// Bytes that may still be written; one that holds more than its capacity has none.
    pub(super) fn free_bytes(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.used_bytes)
    }

    #[cfg(feature = "sim")]
    pub(super) fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    #[cfg(feature = "sim")]
    pub(super) fn set_capacity_bytes(&mut self, capacity_bytes: u64) {
        self.capacity_bytes = capacity_bytes;
    }

    /// Puts a file in without a name; the names come with the directories, which are put in later.
    #[cfg(feature = "sim")]
    pub(super) fn put_file(&mut self, node: NodeId, bytes: Vec<u8>, modified: SystemTime) {
        self.next_node = self.next_node.max(node.0 + 1);
        self.used_bytes += bytes.len() as u64;
        self.nodes.insert(
            node,
            Node::File(File {
                bytes,
                modified,
                name_count: 0,
                open_count: 0,
            }),
        );
    }

    /// Puts a directory in, in place of one that is there.
    pub(super) fn put_directory(&mut self, node: NodeId, names: Names) {
        self.next_node = self.next_node.max(node.0 + 1);
        for child in names.values() {
            if let Some(file) = self.file_mut(*child) {
                file.name_count += 1;
            }
        }
        self.nodes.insert(
            node,
            Node::Directory(Directory {
                names,
                modified: UNIX_EPOCH,
            }),
        );
    }

    #[cfg(feature = "sim")]
    pub(super) fn has_node(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    fn file(&self, node: NodeId) -> Option<&File> {
        match self.nodes.get(&node)? {
            Node::File(file) => Some(file),
            Node::Directory(_) => None,
        }
    }

    fn file_mut(&mut self, node: NodeId) -> Option<&mut File> {
        match self.nodes.get_mut(&node)? {
            Node::File(file) => Some(file),
            Node::Directory(_) => None,
        }
    }

    fn names(&self, node: NodeId) -> Option<&Names> {
        match self.nodes.get(&node)? {
            Node::File(_) => None,
            Node::Directory(directory) => Some(&directory.names),
        }
    }

    fn names_mut(&mut self, node: NodeId, at: SystemTime) -> io::Result<&mut Names> {
        match self.nodes.get_mut(&node) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            Some(Node::Directory(directory)) => {
                directory.modified = at;
                Ok(&mut directory.names)
            }
        }
    }

    fn resolve(&self, path: &Path) -> io::Result<NodeId> {
        self.descend(&names_of(path))
    }

    fn descend(&self, names: &[&OsStr]) -> io::Result<NodeId> {
        names.iter().try_fold(TOP, |node, name| {
            let names = self.names(node).ok_or(io::ErrorKind::NotADirectory)?;
            names
                .get(*name)
                .copied()
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    /// The directory and name that `path` means, whether or not anything has that name.
    fn place_of(&self, path: &Path) -> io::Result<Place> {
        let names = names_of(path);
        let (name, parents) = names.split_last().ok_or(io::ErrorKind::AlreadyExists)?;
        let directory = self.descend(parents)?;
        self.names(directory).ok_or(io::ErrorKind::NotADirectory)?;
        Ok(Place {
            directory,
            name: name.into(),
        })
    }

    fn insert(&mut self, path: &Path, node: Node, at: SystemTime) -> io::Result<Named> {
        let place = self.place_of(path)?;
        let id = NodeId(self.next_node);
        let names = self.names_mut(place.directory, at)?;
        if names.contains_key(&place.name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        names.insert(place.name.clone(), id);
        self.next_node += 1;
        self.nodes.insert(id, node);
        Ok(Named { place, node: id })
    }

    fn unlink(&mut self, path: &Path, node: NodeId, at: SystemTime) -> io::Result<Named> {
        let place = self.place_of(path)?;
        self.names_mut(place.directory, at)?.remove(&place.name);
        self.lose_name(node);
        Ok(Named { place, node })
    }

    fn try_rename(&mut self, from: &Path, to: &Path, at: SystemTime) -> io::Result<Renamed> {
        let node = self.resolve(from)?;
        let (from_place, to_place) = (self.place_of(from)?, self.place_of(to)?);
        let replaced = self
            .names(to_place.directory)
            .and_then(|n| n.get(&to_place.name))
            .copied();
        let is_directory = self.names(node).is_some();
        if is_directory && from_place != to_place && names_of(to).starts_with(&names_of(from)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match replaced {
            Some(replaced) if replaced == node => {}
            Some(replaced) if self.names(replaced).is_some() => {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Some(_) if is_directory => return Err(io::ErrorKind::NotADirectory.into()),
            _ => {
                self.names_mut(from_place.directory, at)?
                    .remove(&from_place.name);
                self.names_mut(to_place.directory, at)?
                    .insert(to_place.name.clone(), node);
            }
        }
        if let Some(replaced) = replaced.filter(|replaced| *replaced != node) {
            self.lose_name(replaced);
        }
        Ok(Renamed {
            from: from_place,
            to: to_place,
            node,
        })
    }

    fn lose_name(&mut self, node: NodeId) {
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => {
                file.name_count = file.name_count.saturating_sub(1);
                self.free_if_unused(node);
            }
            Some(Node::Directory(_)) => drop(self.nodes.remove(&node)),
            None => {}
        }
    }

    fn free_if_unused(&mut self, node: NodeId) {
        if let Some(file) = self.file(node)
            && file.name_count == 0
            && file.open_count == 0
        {
            self.used_bytes -= file.bytes.len() as u64;
            self.nodes.remove(&node);
        }
    }
}

/// The error of a write to a file that was opened for reading.
pub(super) fn require_writable(access: Access, path: &Path) -> Result<()> {
    match access {
        Access::Write => Ok(()),
        Access::Read => {
            Err(Error::new(ErrorKind::Io, "the file is open for reading only").path_is(path))
        }
    }
}

/// The error of a write for which there is no room.
pub(super) fn full(action: &str, path: &Path) -> Error {
    Error::io(action, path, io::ErrorKind::StorageFull.into())
}

/// The names from the top down. There are no links, so a step up just drops a name.
fn names_of(path: &Path) -> Vec<&OsStr> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => drop(names.pop()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    names
}

fn entry_of(name: &OsString, node: &Node) -> Entry {
    let name = name.clone();
    match node {
        Node::File(file) => Entry {
            name,
            kind: EntryKind::File,
            len_bytes: file.bytes.len() as u64,
            modified: file.modified,
        },
        Node::Directory(directory) => Entry {
            name,
            kind: EntryKind::Directory,
            len_bytes: 0,
            modified: directory.modified,
        },
    }
}
