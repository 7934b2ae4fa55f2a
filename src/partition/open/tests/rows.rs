//! Rows of the chain that no other test reaches: a stray index, and a hole above the durable end.

use super::*;

/// Row c of the chain.
#[test]
fn an_index_without_its_log_is_removed_and_reported() {
    let storage = Memory::new();
    killed(&storage, &options(), 40, 40);
    let stray = FileName::OffsetIndex(offset(77_000));
    storage.create(&path(stray)).unwrap();
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(report.removed(), [stray.to_string()], "{report}");
    assert_eq!(read(&partition), values(0..40));
}

/// Row l of the chain: what was not synced is a prefix without holes.
#[test]
fn a_hole_above_the_durable_end_ends_the_log_and_what_lies_behind_is_set_aside() {
    let storage = Memory::new();
    killed(&storage, &one_segment(), 3, 6);
    let behind = Memory::new();
    killed(&behind, &one_segment(), 6, 6);
    let bytes = {
        let log = behind
            .open(&path(FileName::Log(Offset::ZERO)), Access::Read)
            .unwrap();
        let mut bytes = vec![0; usize::try_from(log.len().unwrap()).unwrap()];
        log.read_at(&mut bytes, 0).unwrap();
        // A batch's offset is outside of its checksum.
        bytes[..8].copy_from_slice(&50u64.to_be_bytes());
        let length = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
        bytes.truncate(12 + length as usize);
        bytes
    };
    storage
        .create(&path(FileName::Log(offset(50))))
        .unwrap()
        .write_at(&bytes, 0)
        .unwrap();
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert_eq!(read(&partition), values(0..6), "{report}");
    let set_aside = FileName::Cut(offset(50)).to_string();
    assert!(report.set_aside().contains(&set_aside), "{report}");
    check_appends_go_on(&partition, 6);
}
