//! The contract of the storage traits as one list of checks, run over every implementation; then what only a
//! real disk can be asked.

#[cfg(target_os = "linux")]
mod system;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::{
    Access, BootId, Disk, EntryKind, Memory, Storage, StorageFile, read_small_file, replace_file,
};
use crate::error::{ErrorKind, Result};

/// A place to work in, which goes when this does.
struct Medium {
    storage: Arc<dyn Storage>,
    top: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl Medium {
    #[cfg(unix)]
    fn disk() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().to_path_buf();
        Self {
            storage: Arc::new(Disk::new()),
            top,
            _directory: Some(directory),
        }
    }

    fn memory() -> Self {
        Self {
            storage: Arc::new(Memory::new()),
            top: "/".into(),
            _directory: None,
        }
    }

    #[cfg(feature = "sim")]
    fn sim() -> Self {
        let storage = Arc::new(super::sim::Sim::new(1));
        Self {
            storage,
            top: "/".into(),
            _directory: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.join(name)
    }

    fn create(&self, name: &str, content: &[u8]) -> Arc<dyn StorageFile> {
        let file = self.storage.create(&self.path(name)).unwrap();
        file.write_at(content, 0).unwrap();
        file
    }

    fn content(&self, name: &str) -> Option<Vec<u8>> {
        read_small_file(&*self.storage, &self.path(name), 1 << 20).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = self.storage.list(&self.top).unwrap();
        let mut names: Vec<String> = entries
            .into_iter()
            .map(|entry| entry.name.into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it should have failed"),
        Err(error) => error.kind(),
    }
}

macro_rules! contract {
    ($($check:ident)*) => {
        #[cfg(unix)]
        mod disk {
            $(#[test] fn $check() { super::$check(&super::Medium::disk()); })*
        }
        mod memory {
            $(#[test] fn $check() { super::$check(&super::Medium::memory()); })*
        }
        #[cfg(feature = "sim")]
        mod sim {
            $(#[test] fn $check() { super::$check(&super::Medium::sim()); })*
        }
    };
}

contract! {
    a_file_is_created_once_and_opened_by_its_name
    what_is_not_there_is_not_found
    a_read_beyond_the_end_is_short
    a_hole_reads_as_zeros
    a_file_is_cut_and_lengthened_with_zeros
    a_file_opened_for_reading_takes_no_change
    a_rename_replaces_the_file_of_that_name
    a_renamed_directory_keeps_what_is_in_it
    a_removed_file_is_read_on_by_who_has_it_open
    a_listing_tells_kind_length_and_time_of_change
    directories_are_made_one_at_a_time_and_removed_when_empty
    a_directory_is_no_file_and_a_file_no_directory
    a_lock_excludes_every_other_until_it_is_dropped
    prepared_space_reads_as_zeros_and_is_written_over
    prepare_leaves_written_bytes_alone
    syncing_succeeds_on_files_and_directories
    a_small_file_is_replaced_whole
    a_leftover_of_an_earlier_replacement_is_no_obstacle
    a_small_file_is_read_within_its_bound
    space_and_boot_are_told
}

fn a_file_is_created_once_and_opened_by_its_name(medium: &Medium) {
    let path = medium.path("a");
    medium.create("a", b"one");
    assert_eq!(kind(medium.storage.create(&path)), ErrorKind::AlreadyExists);
    let file = medium.storage.open(&path, Access::Write).unwrap();
    file.write_at(b"two", 3).unwrap();
    assert_eq!(file.len().unwrap(), 6);
    assert_eq!(medium.content("a").unwrap(), b"onetwo");
}

fn what_is_not_there_is_not_found(medium: &Medium) {
    let (storage, path, deep) = (&medium.storage, medium.path("a"), medium.path("none/a"));
    assert_eq!(kind(storage.open(&path, Access::Read)), ErrorKind::NotFound);
    assert_eq!(
        kind(storage.open(&path, Access::Write)),
        ErrorKind::NotFound
    );
    assert_eq!(kind(storage.create(&deep)), ErrorKind::NotFound);
    assert_eq!(kind(storage.create_dir(&deep)), ErrorKind::NotFound);
    assert_eq!(kind(storage.list(&path)), ErrorKind::NotFound);
    assert_eq!(
        kind(storage.rename(&path, &medium.path("b"))),
        ErrorKind::NotFound
    );
    assert_eq!(kind(storage.remove(&path)), ErrorKind::NotFound);
    assert_eq!(kind(storage.remove_dir(&path)), ErrorKind::NotFound);
    assert_eq!(kind(storage.sync_dir(&path)), ErrorKind::NotFound);
    assert_eq!(kind(storage.lock(&deep)), ErrorKind::NotFound);
    assert_eq!(kind(storage.space(&path)), ErrorKind::NotFound);
    assert!(!storage.is_locked(&path).unwrap());
    assert_eq!(medium.names(), Vec::<String>::new());
}

fn a_read_beyond_the_end_is_short(medium: &Medium) {
    let file = medium.create("a", b"12345");
    let mut buffer = [9; 8];
    assert_eq!(file.read_at(&mut buffer, 2).unwrap(), 3);
    assert_eq!(&buffer, b"345\x09\x09\x09\x09\x09");
    assert_eq!(file.read_at(&mut buffer, 5).unwrap(), 0);
    assert_eq!(file.read_at(&mut buffer, 1 << 40).unwrap(), 0);
    assert_eq!(file.read_at(&mut [], 0).unwrap(), 0);
}

fn a_hole_reads_as_zeros(medium: &Medium) {
    let file = medium.create("a", b"1");
    file.write_at(b"2", 1000).unwrap();
    assert_eq!(file.len().unwrap(), 1001);
    let content = medium.content("a").unwrap();
    assert_eq!((content[0], content[1000]), (b'1', b'2'));
    assert!(content[1..1000].iter().all(|byte| *byte == 0));
}

fn a_file_is_cut_and_lengthened_with_zeros(medium: &Medium) {
    let file = medium.create("a", b"12345");
    file.set_len(2).unwrap();
    assert_eq!(medium.content("a").unwrap(), b"12");
    file.set_len(4).unwrap();
    assert_eq!(medium.content("a").unwrap(), b"12\0\0");
    file.set_len(0).unwrap();
    assert_eq!(file.len().unwrap(), 0);
}

fn a_file_opened_for_reading_takes_no_change(medium: &Medium) {
    medium.create("a", b"12345");
    let file = medium
        .storage
        .open(&medium.path("a"), Access::Read)
        .unwrap();
    assert_eq!(kind(file.write_at(b"9", 0)), ErrorKind::Io);
    assert_eq!(kind(file.set_len(0)), ErrorKind::Io);
    assert_eq!(kind(file.prepare(5..9)), ErrorKind::Io);
    assert_eq!(medium.content("a").unwrap(), b"12345");
}

fn a_rename_replaces_the_file_of_that_name(medium: &Medium) {
    medium.create("a", b"new");
    let old = medium.create("b", b"old");
    medium
        .storage
        .rename(&medium.path("a"), &medium.path("b"))
        .unwrap();
    assert_eq!(medium.names(), ["b"]);
    assert_eq!(medium.content("b").unwrap(), b"new");
    let mut buffer = [0; 3];
    assert_eq!(old.read_at(&mut buffer, 0).unwrap(), 3);
    assert_eq!(&buffer, b"old");
    medium
        .storage
        .rename(&medium.path("b"), &medium.path("b"))
        .unwrap();
    assert_eq!(medium.content("b").unwrap(), b"new");
}

fn a_renamed_directory_keeps_what_is_in_it(medium: &Medium) {
    medium.storage.create_dir(&medium.path("a")).unwrap();
    medium.create("a/x", b"1");
    medium
        .storage
        .rename(&medium.path("a"), &medium.path("b"))
        .unwrap();
    assert_eq!(medium.content("b/x").unwrap(), b"1");
    assert_eq!(medium.content("a/x"), None);
    let beneath = medium.path("b/c");
    assert_eq!(
        kind(medium.storage.rename(&medium.path("b"), &beneath)),
        ErrorKind::Io
    );
}

fn a_removed_file_is_read_on_by_who_has_it_open(medium: &Medium) {
    let file = medium.create("a", b"12345");
    medium.storage.remove(&medium.path("a")).unwrap();
    assert_eq!(medium.content("a"), None);
    medium.create("a", b"other");
    let mut buffer = [0; 5];
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 5);
    assert_eq!(&buffer, b"12345");
}

fn a_listing_tells_kind_length_and_time_of_change(medium: &Medium) {
    let file = medium.create("a", b"12345");
    let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    file.set_modified(at).unwrap();
    medium.storage.create_dir(&medium.path("d")).unwrap();
    let mut entries = medium.storage.list(&medium.top).unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let [file, directory] = entries.try_into().unwrap();
    assert_eq!(
        (file.name.to_str(), file.kind),
        (Some("a"), EntryKind::File)
    );
    assert_eq!((file.len_bytes, file.modified), (5, at));
    assert_eq!(
        (directory.name.to_str(), directory.kind),
        (Some("d"), EntryKind::Directory)
    );
    assert_eq!(directory.len_bytes, 0);
}

fn directories_are_made_one_at_a_time_and_removed_when_empty(medium: &Medium) {
    let (storage, path) = (&medium.storage, medium.path("d"));
    storage.create_dir(&path).unwrap();
    assert_eq!(kind(storage.create_dir(&path)), ErrorKind::AlreadyExists);
    assert_eq!(kind(storage.create(&path)), ErrorKind::AlreadyExists);
    medium.create("d/a", b"1");
    assert_eq!(kind(storage.remove_dir(&path)), ErrorKind::Io);
    storage.remove(&medium.path("d/a")).unwrap();
    storage.remove_dir(&path).unwrap();
    assert_eq!(medium.names(), Vec::<String>::new());
}

fn a_directory_is_no_file_and_a_file_no_directory(medium: &Medium) {
    let (storage, directory, file) = (&medium.storage, medium.path("d"), medium.path("f"));
    storage.create_dir(&directory).unwrap();
    medium.create("f", b"1");
    assert_eq!(
        kind(storage.open(&directory, Access::Read)),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        kind(storage.open(&directory, Access::Write)),
        ErrorKind::InvalidInput
    );
    assert_eq!(kind(storage.lock(&directory)), ErrorKind::InvalidInput);
    assert_eq!(kind(storage.list(&file)), ErrorKind::InvalidInput);
    assert_eq!(kind(storage.sync_dir(&file)), ErrorKind::InvalidInput);
    assert!(storage.remove(&directory).is_err());
    assert_eq!(kind(storage.remove_dir(&file)), ErrorKind::Io);
    assert_eq!(medium.names(), ["d", "f"]);
}

fn a_lock_excludes_every_other_until_it_is_dropped(medium: &Medium) {
    let (storage, path) = (&medium.storage, medium.path(".lock"));
    let lock = storage.lock(&path).unwrap();
    assert!(storage.is_locked(&path).unwrap());
    assert_eq!(kind(storage.lock(&path)), ErrorKind::Locked);
    // Another descriptor of the file comes and goes, which a plain POSIX lock would not survive.
    drop(storage.open(&path, Access::Write).unwrap());
    assert_eq!(kind(storage.lock(&path)), ErrorKind::Locked);
    drop(lock);
    assert!(!storage.is_locked(&path).unwrap());
    let again = storage.lock(&path).unwrap();
    drop(again);
    assert_eq!(medium.names(), [".lock"], "the file stays");
}

fn prepared_space_reads_as_zeros_and_is_written_over(medium: &Medium) {
    let file = medium.create("a", b"1");
    file.prepare(1..700_000).unwrap();
    assert_eq!(file.len().unwrap(), 700_000);
    file.write_at(b"23", 1).unwrap();
    assert_eq!(file.len().unwrap(), 700_000);
    let content = medium.content("a").unwrap();
    assert_eq!(&content[..3], b"123");
    assert!(content[3..].iter().all(|byte| *byte == 0));
}

fn prepare_leaves_written_bytes_alone(medium: &Medium) {
    let file = medium.create("a", b"12345");
    assert_eq!(kind(file.prepare(3..10)), ErrorKind::InvalidInput);
    file.prepare(9..9).unwrap();
    assert_eq!(medium.content("a").unwrap(), b"12345");
    file.prepare(7..9).unwrap();
    assert_eq!(medium.content("a").unwrap(), b"12345\0\0\0\0");
}

fn syncing_succeeds_on_files_and_directories(medium: &Medium) {
    let file = medium.create("a", b"12345");
    file.sync_data().unwrap();
    file.sync_all().unwrap();
    medium.storage.sync_dir(&medium.top).unwrap();
}

fn a_small_file_is_replaced_whole(medium: &Medium) {
    let path = medium.path("a");
    for content in [&b"a longer first content"[..], b"second", b""] {
        replace_file(&*medium.storage, &path, content).unwrap();
        assert_eq!(medium.content("a").unwrap(), content);
        assert_eq!(medium.names(), ["a"]);
    }
}

fn a_leftover_of_an_earlier_replacement_is_no_obstacle(medium: &Medium) {
    medium.create("a.tmp", b"half of something longer");
    replace_file(&*medium.storage, &medium.path("a"), b"new").unwrap();
    assert_eq!(medium.content("a").unwrap(), b"new");
    assert_eq!(medium.names(), ["a"]);
}

fn a_small_file_is_read_within_its_bound(medium: &Medium) {
    let path = medium.path("a");
    assert_eq!(read_small_file(&*medium.storage, &path, 5).unwrap(), None);
    medium.create("a", b"12345");
    assert_eq!(
        read_small_file(&*medium.storage, &path, 5)
            .unwrap()
            .unwrap(),
        b"12345"
    );
    assert_eq!(
        kind(read_small_file(&*medium.storage, &path, 4)),
        ErrorKind::Corrupt
    );
}

fn space_and_boot_are_told(medium: &Medium) {
    assert!(medium.storage.space(&medium.top).unwrap().free_bytes > 0);
    if cfg!(target_os = "linux") || medium.top == Path::new("/") {
        let boot_id = medium.storage.boot_id().unwrap();
        assert_ne!(boot_id, BootId::default());
        assert_eq!(medium.storage.boot_id().unwrap(), boot_id);
    }
}

/// Promise 8, as far as the medium keeps it.
#[test]
fn a_full_memory_answers_full_and_takes_writes_again_when_room_comes() {
    let medium = Medium {
        storage: Arc::new(Memory::with_capacity_bytes(1000)),
        ..Medium::memory()
    };
    let file = medium.create("a", &[1; 600]);
    medium.create("b", &[2; 300]);
    assert_eq!(kind(file.prepare(600..800)), ErrorKind::Full);
    assert_eq!(file.len().unwrap(), 600);
    assert_eq!(kind(file.set_len(701)), ErrorKind::Full);
    assert_eq!(
        kind(replace_file(&*medium.storage, &medium.path("c"), &[3; 101])),
        ErrorKind::Full
    );
    assert_eq!(
        medium.names(),
        ["a", "b"],
        "what was half written gives its room back"
    );
    file.write_at(&[1; 100], 500).unwrap();
    assert_eq!(kind(file.write_at(&[1; 101], 600)), ErrorKind::Full);
    file.set_len(600).unwrap();
    medium.storage.remove(&medium.path("b")).unwrap();
    file.write_at(&[1; 400], 600).unwrap();
    assert_eq!(medium.storage.space(&medium.top).unwrap().free_bytes, 0);
}

#[test]
fn every_memory_is_another_boot() {
    assert_ne!(
        Memory::new().boot_id().unwrap(),
        Memory::new().boot_id().unwrap()
    );
}
