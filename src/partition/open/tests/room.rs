//! What stands after a change that found no room, or whose sync failed (promises 2, 8, 10, 12 and 15).

use super::*;

/// A trim unlinked the first segments, and a power cut brought one of them back and took the first un-synced one. The hole between them
/// begins among trimmed offsets, and what lies behind it was never durable: the log ends there, and nothing is missing. It was reported
/// as missing once, and the records behind it were shown.
#[test]
fn a_hole_above_the_durable_end_ends_the_log_also_where_it_begins_among_trimmed_offsets() {
    let storage = Memory::new();
    let bench = new_bench(&storage, &options());
    fill(&bench.partition, 0, 40);
    let bases: Vec<Offset> = logs(&storage).into_iter().map(|(base, _)| base).collect();
    assert!(bases.len() > 3, "{bases:?}");
    drop(bench);

    let storage = Memory::new();
    let bench = new_bench(&storage, &options());
    fill(&bench.partition, bases[2].get(), 40);
    let first = path(FileName::Log(bases[0]));
    let content = read_small_file(&storage, &first, 1 << 20).unwrap().unwrap();
    bench.partition.delete_records_before(bases[2]).unwrap();
    drop(bench);
    let back = storage.create(&first).unwrap();
    back.write_at(&content, 0).unwrap();
    storage.remove(&path(FileName::Log(bases[2]))).unwrap();

    let (view, report) = view(&storage, Owner::OursUnclean);
    assert!(report.gaps().is_empty(), "{report}");
    assert_eq!(view.published.watermarks().end, bases[2], "{report}");
    let (partition, report) = open(&storage, Owner::OursUnclean);
    assert!(report.gaps().is_empty(), "{report}");
    assert!(!report.set_aside().is_empty(), "{report}");
    check_appends_go_on(&partition, bases[2].get());
}
