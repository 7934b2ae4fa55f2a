use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::*;
use crate::error::ErrorKind;
use crate::storage::{Access, EntryKind, Storage, StorageFile, read_small_file, replace_file};

const TOP: &str = "/";

fn path(name: &str) -> PathBuf {
    Path::new(TOP).join(name)
}

fn content(sim: &Sim, name: &str) -> Option<Vec<u8>> {
    read_small_file(sim, &path(name), 1 << 20).unwrap()
}

/// A file whose name and content last.
fn synced_file(sim: &Sim, name: &str, bytes: &[u8]) -> Arc<dyn StorageFile> {
    let file = sim.create(&path(name)).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync_all().unwrap();
    sim.sync_dir(Path::new(TOP)).unwrap();
    assert_eq!(sim.pending_effects(), 0);
    file
}

/// What every possible crash leaves, as seen by `look`.
fn all_crashes<T: Ord>(sim: &Sim, look: impl Fn(&Sim) -> T) -> BTreeSet<T> {
    let count = sim.pending_effects();
    assert!(
        count <= 12,
        "{count} effects are too many to try every subset"
    );
    (0..1_u64 << count)
        .map(|bits| look(&sim.crash_image(Keep::Subset(bits))))
        .collect()
}

/// Names, kinds and contents of everything.
fn everything(sim: &Sim) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::from(TOP)];
    while let Some(directory) = open.pop() {
        for entry in sim.list(&directory).unwrap() {
            let path = directory.join(entry.name);
            if entry.kind == EntryKind::Directory {
                found.insert(path.clone(), None);
                open.push(path);
            } else {
                found.insert(path.clone(), read_small_file(sim, &path, 1 << 20).unwrap());
            }
        }
    }
    found
}

#[test]
fn an_unsynced_write_persists_in_any_subset_of_its_sectors() {
    let sim = Sim::new(1);
    let file = synced_file(&sim, "a", &[1; 1536]);
    file.write_at(&[2; 1000], 256).unwrap();
    assert_eq!(sim.pending_effects(), 3);
    let left = all_crashes(&sim, |sim| content(sim, "a").unwrap());
    assert_eq!(left.len(), 8);
    for bytes in left {
        assert!(
            bytes[..256].iter().chain(&bytes[1256..]).all(|b| *b == 1),
            "outside the write"
        );
        for sector in [&bytes[256..512], &bytes[512..1024], &bytes[1024..1256]] {
            assert!(
                sector.iter().all(|byte| *byte == sector[0]),
                "a torn sector"
            );
        }
    }
}

#[test]
fn an_append_and_its_length_persist_apart() {
    let sim = Sim::new(1);
    let file = synced_file(&sim, "a", b"1");
    file.write_at(b"23", 1).unwrap();
    let left = all_crashes(&sim, |sim| content(sim, "a").unwrap());
    assert_eq!(
        left,
        BTreeSet::from([b"1".to_vec(), b"1\0\0".to_vec(), b"123".to_vec()])
    );
}

#[test]
fn a_later_write_to_a_sector_brings_the_earlier_one_with_it() {
    let sim = Sim::new(1);
    let file = synced_file(&sim, "a", b"....");
    file.write_at(b"1", 0).unwrap();
    file.write_at(b"2", 1).unwrap();
    let left = all_crashes(&sim, |sim| content(sim, "a").unwrap());
    assert_eq!(
        left,
        BTreeSet::from([b"....".to_vec(), b"1...".to_vec(), b"12..".to_vec()])
    );
}

#[test]
fn a_cut_that_was_not_synced_may_be_undone() {
    let sim = Sim::new(1);
    let file = synced_file(&sim, "a", b"12345");
    file.set_len(2).unwrap();
    let left = all_crashes(&sim, |sim| content(sim, "a").unwrap());
    assert_eq!(left, BTreeSet::from([b"12".to_vec(), b"12345".to_vec()]));
    file.sync_data().unwrap();
    assert_eq!(content(&sim.reboot(Keep::None), "a").unwrap(), b"12");
}

#[test]
fn a_synced_file_is_lost_with_its_name_until_the_directory_is_synced() {
    let sim = Sim::new(1);
    let file = sim.create(&path("a")).unwrap();
    file.write_at(b"1", 0).unwrap();
    file.sync_all().unwrap();
    let left = all_crashes(&sim, |sim| content(sim, "a"));
    assert_eq!(left, BTreeSet::from([None, Some(b"1".to_vec())]));
}

#[test]
fn a_rename_without_a_directory_sync_may_be_undone_and_is_never_half_done() {
    let sim = Sim::new(1);
    synced_file(&sim, "a", b"new");
    synced_file(&sim, "b", b"old");
    sim.rename(&path("a"), &path("b")).unwrap();
    let file = sim.open(&path("b"), Access::Write).unwrap();
    file.sync_data().unwrap();
    let left = all_crashes(&sim, |sim| (content(sim, "a"), content(sim, "b").unwrap()));
    assert_eq!(
        left,
        BTreeSet::from([
            (Some(b"new".to_vec()), b"old".to_vec()),
            (None, b"new".to_vec())
        ])
    );
    sim.sync_dir(Path::new(TOP)).unwrap();
    let after = sim.reboot(Keep::None);
    assert_eq!(
        (content(&after, "a"), content(&after, "b").unwrap()),
        (None, b"new".to_vec())
    );
}

#[test]
fn a_removal_without_a_directory_sync_may_be_undone() {
    let sim = Sim::new(1);
    synced_file(&sim, "a", b"1");
    sim.remove(&path("a")).unwrap();
    assert_eq!(content(&sim, "a"), None);
    let left = all_crashes(&sim, |sim| content(sim, "a"));
    assert_eq!(left, BTreeSet::from([None, Some(b"1".to_vec())]));
}

#[test]
fn a_directory_sync_does_not_save_the_directorys_own_name() {
    let sim = Sim::new(1);
    sim.create_dir(&path("d")).unwrap();
    sim.create(&path("d/a")).unwrap().sync_all().unwrap();
    sim.sync_dir(&path("d")).unwrap();
    assert_eq!(everything(&sim.crash_image(Keep::None)).len(), 0);
    sim.sync_dir(Path::new(TOP)).unwrap();
    assert_eq!(everything(&sim.crash_image(Keep::None)).len(), 2);
}

/// Promise 4, for small files.
#[test]
fn a_file_is_replaced_whole_at_every_crash_and_for_good_on_return() {
    let (old, new) = (vec![1; 700], vec![2; 900]);
    let mut states = 0;
    for operations in 0.. {
        let sim = Sim::new(operations);
        synced_file(&sim, "a", &old);
        sim.crash_after(operations);
        let returned = replace_file(&sim, &path("a"), &new);
        assert_eq!(returned.is_err(), sim.has_crashed());
        let left = all_crashes(&sim, |sim| content(sim, "a").unwrap());
        states += 1 << sim.pending_effects();
        assert!(
            left.iter().all(|bytes| [&old, &new].contains(&bytes)),
            "after {operations}"
        );
        if returned.is_ok() {
            assert_eq!(left, BTreeSet::from([new]));
            break;
        }
    }
    assert!(states > 20, "{states}");
}

#[test]
fn a_replacement_that_forgets_a_sync_is_found_out() {
    let replace_carelessly = |sim: &Sim, is_file_synced: bool| {
        let file = sim.create(&path("a.tmp")).unwrap();
        file.write_at(&[2; 900], 0).unwrap();
        if is_file_synced {
            file.sync_all().unwrap();
        }
        sim.rename(&path("a.tmp"), &path("a")).unwrap();
    };
    for (is_file_synced, is_torn) in [(false, true), (true, false)] {
        let sim = Sim::new(1);
        synced_file(&sim, "a", &[1; 700]);
        replace_carelessly(&sim, is_file_synced);
        let left = all_crashes(&sim, |sim| content(sim, "a").unwrap());
        assert!(
            left.contains(&vec![1; 700]),
            "without a directory sync the old one comes back"
        );
        let whole = [vec![1; 700], vec![2; 900]];
        assert_eq!(left.iter().any(|bytes| !whole.contains(bytes)), is_torn);
    }
}

/// What promise 10 stands against.
#[test]
fn a_failed_sync_leaves_a_ghost_that_no_second_sync_saves() {
    let sim = Sim::new(1);
    let file = synced_file(&sim, "a", b"1");
    file.write_at(b"23", 1).unwrap();
    sim.fail_operation(1, Fault::Io, Repeat::Once);
    assert_eq!(file.sync_data().unwrap_err().kind(), ErrorKind::Io);

    file.sync_data().unwrap();
    assert_eq!(content(&sim, "a").unwrap(), b"123", "reading shows it");
    assert_eq!(
        content(&sim.kill(), "a").unwrap(),
        b"123",
        "to another process too"
    );
    assert_eq!(
        content(&sim.reboot(Keep::All), "a").unwrap(),
        b"1",
        "the medium never got it"
    );
}

#[test]
fn bytes_rewritten_over_a_ghost_do_not_bring_its_length_back() {
    let sim = Sim::new(1);
    let file = synced_file(&sim, "a", b"1");
    file.write_at(b"23", 1).unwrap();
    sim.fail_operation(1, Fault::Io, Repeat::Once);
    assert!(file.sync_data().is_err());
    file.write_at(b"23", 1).unwrap();
    file.sync_data().unwrap();
    assert_eq!(content(&sim.reboot(Keep::All), "a").unwrap(), b"1");
}

#[test]
fn names_after_a_failed_directory_sync_never_last() {
    let sim = Sim::new(1);
    sim.create(&path("a")).unwrap();
    sim.fail_operation(1, Fault::Io, Repeat::Once);
    assert!(sim.sync_dir(Path::new(TOP)).is_err());
    sim.sync_dir(Path::new(TOP)).unwrap();
    assert_eq!(content(&sim.reboot(Keep::All), "a"), None);
}

#[test]
fn a_crash_comes_at_its_operation_and_stops_everything_until_the_reboot() {
    let sim = Sim::new(1);
    let file = synced_file(&sim, "a", b"1");
    let _lock = sim.lock(&path(".lock")).unwrap();
    let boot_id = sim.boot_id().unwrap();
    sim.crash_after(1);
    file.write_at(b"2", 0).unwrap();
    assert!(!sim.has_crashed());
    let error = file.write_at(b"3", 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(
        error.to_string().contains("the machine has crashed"),
        "{error}"
    );
    assert!(sim.has_crashed());
    assert!(file.read_at(&mut [0], 0).is_err());
    assert!(sim.list(Path::new(TOP)).is_err());
    assert!(
        sim.kill().list(Path::new(TOP)).is_err(),
        "a new process finds the machine crashed"
    );

    let after = sim.reboot(Keep::All);
    assert_eq!(content(&after, "a").unwrap(), b"2");
    assert_ne!(after.boot_id().unwrap(), boot_id);
    drop(after.lock(&path(".lock")).unwrap());
    assert!(file.len().is_err(), "what was open before stays useless");
}

#[test]
fn a_kill_keeps_the_page_cache_and_the_boot_and_lets_go_of_locks() {
    let sim = Sim::new(1);
    let file = synced_file(&sim, "a", b"1");
    let _lock = sim.lock(&path(".lock")).unwrap();
    file.write_at(b"2", 0).unwrap();
    let after = sim.kill();
    assert_eq!(content(&after, "a").unwrap(), b"2");
    assert_eq!(after.boot_id().unwrap(), Sim::new(1).boot_id().unwrap());
    assert!(!after.is_locked(&path(".lock")).unwrap());
    assert!(
        file.write_at(b"3", 0)
            .unwrap_err()
            .to_string()
            .contains("killed")
    );
    assert_eq!(
        content(&after.reboot(Keep::None), "a").unwrap(),
        b"1",
        "it was not synced"
    );
}

#[test]
fn a_kill_comes_at_its_operation_and_changes_nothing_any_more() {
    let sim = Sim::new(1);
    let file = synced_file(&sim, "a", b"1");
    sim.kill_after(1);
    file.write_at(b"2", 0).unwrap();
    let error = file.write_at(b"3", 0).unwrap_err();
    assert!(
        error.to_string().contains("the process was killed"),
        "{error}"
    );
    assert!(sim.list(Path::new(TOP)).is_err());
    assert!(!sim.has_crashed());
    let after = sim.kill();
    assert_eq!(content(&after, "a").unwrap(), b"2");
    after.create(&path("b")).expect("the next process works");
    assert_eq!(content(&after.reboot(Keep::None), "a").unwrap(), b"1");
}

#[test]
fn a_disk_that_lies_answers_ok_to_a_sync_and_keeps_nothing() {
    let sim = Sim::new(1);
    let file = synced_file(&sim, "a", b"1");
    sim.fail_operation(1, Fault::Lie, Repeat::Forever);
    file.write_at(b"2", 0).expect("only syncs are false");
    file.sync_all().expect("it says so");
    sim.create(&path("b")).expect("only syncs are false");
    sim.sync_dir(Path::new(TOP)).expect("it says so");
    assert_eq!(content(&sim, "a").unwrap(), b"2");
    let after = sim.reboot(Keep::All);
    assert_eq!(content(&after, "a").unwrap(), b"1");
    assert!(after.open(&path("b"), Access::Read).is_err());
}

#[test]
fn faults_come_at_their_operation_once_or_for_ever() {
    let sim = Sim::new(1);
    let file = synced_file(&sim, "a", &[1; 100]);
    let before = sim.operations();
    sim.fail_operation(2, Fault::Full, Repeat::Once);
    file.write_at(&[2], 0).unwrap();
    assert_eq!(file.write_at(&[3], 0).unwrap_err().kind(), ErrorKind::Full);
    file.write_at(&[4], 0).unwrap();
    assert_eq!(sim.operations(), before + 3);

    sim.fail_operation(1, Fault::ShortWrite, Repeat::Forever);
    assert_eq!(
        file.write_at(&[5; 100], 0).unwrap_err().kind(),
        ErrorKind::Io
    );
    assert!(sim.remove(&path("a")).is_err());
    let bytes = content(&sim, "a").unwrap();
    let part = bytes.iter().take_while(|byte| **byte == 5).count();
    assert!(
        bytes[part..].iter().all(|byte| *byte != 5),
        "a first part, and no more"
    );

    sim.heal();
    sim.fail_read(1, Repeat::Once);
    assert_eq!(file.read_at(&mut [0], 0).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(file.read_at(&mut [0], 0).unwrap(), 1);
    sim.remove(&path("a")).unwrap();
}

#[test]
fn a_full_disk_takes_what_fits_and_goes_on_when_it_has_room() {
    let sim = Sim::new(1);
    let file = synced_file(&sim, "a", &[1; 100]);
    sim.set_capacity_bytes(150);
    assert_eq!(file.prepare(100..200).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(file.len().unwrap(), 100);
    assert_eq!(
        file.write_at(&[2; 100], 100).unwrap_err().kind(),
        ErrorKind::Full
    );
    file.set_len(100).unwrap();
    file.write_at(&[3; 50], 100).unwrap();
    assert_eq!(sim.space(Path::new(TOP)).unwrap().free_bytes, 0);
    sim.set_capacity_bytes(1000);
    file.write_at(&[4; 100], 150).unwrap();
}

/// A random life: files in two directories written, cut, renamed, removed, synced.
fn live(sim: &Sim, random: &mut Random, steps: usize) {
    let names = ["a", "b", "d/a", "d/b"];
    sim.create_dir(&path("d")).unwrap();
    for _ in 0..steps {
        let name = path(names[random.below(names.len())]);
        let other = path(names[random.below(names.len())]);
        let file = sim
            .open(&name, Access::Write)
            .or_else(|_| sim.create(&name));
        let Ok(file) = file else {
            sim.create_dir(&path("d")).unwrap();
            continue;
        };
        let len_bytes = file.len().unwrap();
        match random.below(9) {
            0 => sim.rename(&name, &other).unwrap(),
            1 => sim.remove(&name).unwrap(),
            2 => file.set_len(random.next() % 2000).unwrap(),
            3 => file.sync_data().unwrap(),
            4 => sim.sync_dir(name.parent().unwrap()).unwrap(),
            5 => file.prepare(len_bytes..len_bytes + 700).unwrap(),
            _ => {
                let bytes = vec![random.next() as u8; random.below(1500)];
                file.write_at(&bytes, random.next() % 1500).unwrap();
            }
        }
    }
}

fn sync_everything(sim: &Sim) {
    for (path, content) in everything(sim) {
        match content {
            Some(_) => sim.open(&path, Access::Write).unwrap().sync_all().unwrap(),
            None => sim.sync_dir(&path).unwrap(),
        }
    }
    sim.sync_dir(Path::new(TOP)).unwrap();
}

#[test]
#[allow(
    clippy::print_stdout,
    reason = "a failing seed is shown, whatever failed"
)]
fn a_crash_that_keeps_all_shows_what_programs_saw_and_what_was_synced_outlives_every_crash() {
    let base = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1_u64);
    for seed in base..base + 300 {
        println!("SEED={seed}");
        let (sim, mut random) = (Sim::new(seed), Random(seed));
        live(&sim, &mut random, 60);
        let seen = everything(&sim);
        assert_eq!(everything(&sim.reboot(Keep::All)), seen);

        let (sim, mut random) = (Sim::new(seed), Random(seed));
        live(&sim, &mut random, 60);
        sync_everything(&sim);
        let seen = everything(&sim);
        for keep in [Keep::None, Keep::All, Keep::Random(seed)] {
            assert_eq!(everything(&sim.reboot(keep)), seen, "{keep:?}");
        }
    }
}

#[test]
fn the_same_seed_replays_the_same_crash() {
    let run = |seed| {
        let sim = Sim::new(seed);
        live(&sim, &mut Random(seed), 80);
        let left = everything(&sim.reboot(Keep::Random(seed)));
        (sim.operations(), sim.pending_effects(), left)
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "SEED={seed}");
    }
}
