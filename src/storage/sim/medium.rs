//! What a crash may leave: the durable half of the simulated disk, and the effects that have not reached it.
//!
//! Each change that a program makes is noted as one or more *effects*. A sync moves the effects of its file or
//! directory to the durable half; a crash keeps any subset of the rest, in the order in which they were made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::super::tree::{Named, Names, NodeId, Place, Renamed, TOP, Tree};

/// What the medium writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// The smallest change that a crash keeps or loses.
#[derive(Clone, Debug)]
enum Effect {
    /// A sector as the page cache had it after a write: earlier writes to it are in it.
    Sector {
        file: NodeId,
        index: u64,
        image: Box<[u8; SECTOR_BYTES]>,
    },
    /// A new length; what is cut off is gone, what is gained reads as zeros where no sector was kept.
    Length { file: NodeId, len_bytes: u64 },
    /// A time of change that was set.
    Modified { file: NodeId, at: SystemTime },
    /// A node gets a name.
    Link(Named),
    /// A node loses a name.
    Unlink(Named),
    /// A node gets another name in the same directory, at once.
    Rename {
        from: Place,
        to: Place,
        node: NodeId,
    },
}

impl Effect {
    fn is_content_of(&self, node: NodeId) -> bool {
        matches!(self, Self::Sector { file, .. } | Self::Length { file, .. } if *file == node)
    }

    fn is_about(&self, node: NodeId) -> bool {
        self.is_content_of(node) || matches!(self, Self::Modified { file, .. } if *file == node)
    }

    fn is_name_in(&self, node: NodeId) -> bool {
        match self {
            Self::Link(named) | Self::Unlink(named) => named.place.directory == node,
            Self::Rename { to, .. } => to.directory == node,
            _ => false,
        }
    }

    /// The node that would have a name if this effect were kept.
    fn gives_name_to(&self) -> Option<NodeId> {
        match self {
            Self::Link(named) => Some(named.node),
            Self::Rename { node, .. } => Some(*node),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
struct DurableFile {
    /// May reach behind the end: sectors whose length has not arrived.
    blocks: Vec<u8>,
    len_bytes: u64,
    modified: SystemTime,
}

impl DurableFile {
    fn content(&self) -> Vec<u8> {
        let mut content = self.blocks.clone();
        content.resize(usize::try_from(self.len_bytes).unwrap_or(usize::MAX), 0);
        content
    }
}

#[derive(Clone, Debug)]
struct Durable {
    files: BTreeMap<NodeId, DurableFile>,
    directories: BTreeMap<NodeId, Names>,
}

impl Durable {
    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Sector { file, index, image } => {
                let Some(file) = self.files.get_mut(file) else {
                    return;
                };
                let start = usize::try_from(*index).unwrap_or(usize::MAX) * SECTOR_BYTES;
                let end = start + SECTOR_BYTES;
                file.blocks.resize(file.blocks.len().max(end), 0);
                file.blocks[start..end].copy_from_slice(&image[..]);
            }
            Effect::Length { file, len_bytes } => {
                let Some(file) = self.files.get_mut(file) else {
                    return;
                };
                if *len_bytes < file.len_bytes {
                    file.blocks
                        .truncate(usize::try_from(*len_bytes).unwrap_or(usize::MAX));
                }
                file.len_bytes = *len_bytes;
            }
            Effect::Modified { file, at } => {
                if let Some(file) = self.files.get_mut(file) {
                    file.modified = *at;
                }
            }
            Effect::Link(named) => self.link(&named.place, named.node),
            Effect::Unlink(named) => self.unlink(&named.place, named.node),
            Effect::Rename { from, to, node } => {
                self.unlink(from, *node);
                self.link(to, *node);
            }
        }
    }

    fn link(&mut self, place: &Place, node: NodeId) {
        if let Some(names) = self.directories.get_mut(&place.directory) {
            names.insert(place.name.clone(), node);
        }
    }

    /// Another node of that name stays: it came by an effect that was kept where this one's was not.
    fn unlink(&mut self, place: &Place, node: NodeId) {
        if let Some(names) = self.directories.get_mut(&place.directory)
            && names.get(&place.name) == Some(&node)
        {
            names.remove(&place.name);
        }
    }

    /// All that can be reached from `roots`, themselves included.
    fn reachable(&self, roots: impl Iterator<Item = NodeId>) -> BTreeSet<NodeId> {
        let mut found = BTreeSet::new();
        let mut open: Vec<NodeId> = roots.collect();
        while let Some(node) = open.pop() {
            if found.insert(node) {
                open.extend(
                    self.directories
                        .get(&node)
                        .into_iter()
                        .flat_map(Names::values),
                );
            }
        }
        found
    }

    fn retain(&mut self, nodes: &BTreeSet<NodeId>) {
        self.files.retain(|node, _| nodes.contains(node));
        self.directories.retain(|node, _| nodes.contains(node));
    }
}

/// The durable half, and the effects on their way to it.
#[derive(Clone, Debug)]
pub(super) struct Medium {
    durable: Durable,
    pending: Vec<Effect>,
}

impl Medium {
    pub(super) fn new() -> Self {
        let directories = BTreeMap::from([(TOP, Names::new())]);
        Self {
            durable: Durable {
                files: BTreeMap::new(),
                directories,
            },
            pending: Vec::new(),
        }
    }

    pub(super) fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// A new file: it may be synced at once, and is found after a crash only when its name is kept.
    pub(super) fn file_created(&mut self, named: Named, at: SystemTime) {
        let file = DurableFile {
            blocks: Vec::new(),
            len_bytes: 0,
            modified: at,
        };
        self.durable.files.insert(named.node, file);
        self.pending.push(Effect::Link(named));
    }

    pub(super) fn directory_created(&mut self, named: Named) {
        self.durable.directories.insert(named.node, Names::new());
        self.pending.push(Effect::Link(named));
    }

    pub(super) fn removed(&mut self, named: Named) {
        self.pending.push(Effect::Unlink(named));
    }

    /// Within a directory a rename is one effect. Between two it is two, each made durable by the sync of its own.
    pub(super) fn renamed(&mut self, renamed: Renamed) {
        let Renamed { from, to, node } = renamed;
        if from == to {
            return;
        }
        if from.directory == to.directory {
            self.pending.push(Effect::Rename { from, to, node });
        } else {
            self.pending.push(Effect::Link(Named { place: to, node }));
            self.pending
                .push(Effect::Unlink(Named { place: from, node }));
        }
    }

    /// Notes the sectors of a write that happened in `tree`.
    pub(super) fn written(&mut self, tree: &Tree, file: NodeId, position: u64, len: usize) {
        let sector = SECTOR_BYTES as u64;
        let end = position + len as u64;
        for index in position / sector..end.div_ceil(sector) {
            let mut image = Box::new([0; SECTOR_BYTES]);
            tree.read_at(file, &mut image[..], index * sector);
            self.pending.push(Effect::Sector { file, index, image });
        }
    }

    pub(super) fn length_changed(&mut self, file: NodeId, len_bytes: u64) {
        self.pending.push(Effect::Length { file, len_bytes });
    }

    pub(super) fn modified_set(&mut self, file: NodeId, at: SystemTime) {
        self.pending.push(Effect::Modified { file, at });
    }

    pub(super) fn sync_data(&mut self, file: NodeId) {
        self.persist(|effect| effect.is_content_of(file));
    }

    pub(super) fn sync_all(&mut self, file: NodeId) {
        self.persist(|effect| effect.is_about(file));
    }

    /// Makes the names in `directory` last, and forgets the nodes that can never be seen again.
    pub(super) fn sync_dir(&mut self, directory: NodeId, tree: &Tree) {
        self.persist(|effect| effect.is_name_in(directory));
        let named = self.pending.iter().filter_map(Effect::gives_name_to);
        let nodes = self
            .durable
            .files
            .keys()
            .chain(self.durable.directories.keys())
            .copied();
        let seen = nodes.filter(|node| tree.has_node(*node));
        let alive = self.durable.reachable(named.chain(seen).chain([TOP]));
        let durable = &self.durable.files;
        let dead = |node: &NodeId| durable.contains_key(node) && !alive.contains(node);
        let dead: BTreeSet<NodeId> = durable.keys().copied().filter(dead).collect();
        self.pending
            .retain(|effect| !dead.iter().any(|node| effect.is_about(*node)));
        self.durable.retain(&alive);
    }

    /// A sync of the file failed: what was dirty is clean now, and on the medium it never arrives.
    pub(super) fn lose_content(&mut self, file: NodeId) {
        self.pending.retain(|effect| !effect.is_about(file));
    }

    /// As `lose_content`, for the names in a directory.
    pub(super) fn lose_names(&mut self, directory: NodeId) {
        self.pending.retain(|effect| !effect.is_name_in(directory));
    }

    /// The medium after a crash that keeps those effects whose number `keep` accepts, and what programs then see.
    pub(super) fn crashed(
        &self,
        mut keep: impl FnMut(usize) -> bool,
        capacity_bytes: u64,
    ) -> (Self, Tree) {
        let mut durable = self.durable.clone();
        for (number, effect) in self.pending.iter().enumerate() {
            if keep(number) {
                durable.apply(effect);
            }
        }
        let nodes = durable.reachable([TOP].into_iter());
        durable.retain(&nodes);
        let mut tree = Tree::new(capacity_bytes);
        for (node, file) in &mut durable.files {
            file.blocks = file.content();
            tree.put_file(*node, file.blocks.clone(), file.modified);
        }
        for (node, names) in &durable.directories {
            tree.put_directory(*node, names.clone());
        }
        (
            Self {
                durable,
                pending: Vec::new(),
            },
            tree,
        )
    }

    fn persist(&mut self, wanted: impl Fn(&Effect) -> bool) {
        for effect in self.pending.extract_if(.., |effect| wanted(effect)) {
            self.durable.apply(&effect);
        }
    }
}
