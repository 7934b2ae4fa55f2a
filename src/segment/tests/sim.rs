//! What a power cut leaves of a segment, and what failures of the medium do to it, on the simulated disk.

use super::*;
use crate::error::ErrorKind;
use crate::segment::rebuild::{Rebuilt, rebuild};
use crate::storage::sim::{Fault, Keep, Repeat, Sim};

fn home_on_sim(sim: &Sim) -> SegmentHome {
    let home = home_on(Arc::new(sim.clone()));
    sim.sync_dir(Path::new("/")).expect("synced");
    home
}

/// The same directory on another machine.
fn after(home: &SegmentHome, sim: Sim) -> SegmentHome {
    SegmentHome {
        storage: Arc::new(sim),
        dir: Arc::clone(&home.dir),
        open_files: Arc::new(OpenFiles::new(4)),
    }
}

fn walked(home: &SegmentHome) -> Rebuilt {
    let rule = OffsetRule::Dense;
    rebuild(home, offset(0), rule, settings(), Offset::ZERO, &mut |_| {
        Ok(())
    })
    .expect("readable")
}

#[test]
fn the_first_sync_makes_bytes_and_name_last() {
    let sim = Sim::new(1);
    let home = home_on_sim(&sim);
    let batches = batches(0, 20, 40);
    let mut segment = segment_with(&home, 0, &batches[..10]);
    segment.files().sync().expect("synced");
    append(&mut segment, &batches[10]);
    segment.files().sync().expect("synced");
    append(&mut segment, &batches[11]);
    let home = after(&home, sim.reboot(Keep::None));
    assert_eq!(walked(&home).end, offset(33));
}

#[test]
fn a_synced_seal_leaves_all_its_files() {
    let sim = Sim::new(2);
    let home = home_on_sim(&sim);
    let batches = batches(0, 200, 100);
    let mut segment = segment_with(&home, 0, &batches);
    segment.prepare(5).expect("room");
    let (files, _) = segment.seal(at_ms(5)).expect("sealed");
    files.sync().expect("synced");
    let expected = FileName::of_segment(offset(0)).map(|name| read_file(&home, name));
    let home = after(&home, sim.reboot(Keep::None));
    assert_eq!(
        FileName::of_segment(offset(0)).map(|name| read_file(&home, name)),
        expected
    );
}

#[test]
fn any_power_cut_leaves_a_prefix_with_all_that_was_synced() {
    let batches = batches(0, 12, 200);
    for cut in 0..60 {
        for seed in 0..6 {
            let sim = Sim::new(seed);
            let home = home_on_sim(&sim);
            let mut segment = segment_with(&home, 0, &[]);
            segment.files().sync().expect("synced");
            let mut synced = 0;
            sim.crash_after(cut);
            for (n, batch) in batches.iter().enumerate() {
                let appended = segment
                    .prepare(batch.len() as u32)
                    .and_then(|()| segment.append(batch, &[header(batch)]));
                if appended.is_err() {
                    break;
                }
                if n % 3 == 2 && segment.files().sync().is_ok() {
                    synced = n + 1;
                }
            }
            let home = after(&home, sim.reboot(Keep::Random(seed)));
            let rebuilt = walked(&home);
            assert!(
                rebuilt.end.get() >= 3 * synced as u64,
                "cut {cut} seed {seed}"
            );
            let kept = rebuilt.end.get() as usize / 3;
            let bytes = read_file(&home, FileName::Log(offset(0))).expect("there");
            assert_eq!(
                bytes[..rebuilt.valid.get() as usize],
                batches[..kept].concat()
            );
            let segment = ActiveSegment::resume(home, rebuilt, settings()).expect("resumed");
            assert_eq!(segment.next_offset().get(), 3 * kept as u64);
        }
    }
}

#[test]
fn a_failed_write_is_cut_back_and_a_failed_cut_says_so() {
    for (repeat, kind) in [
        (Repeat::Once, ErrorKind::Io),
        (Repeat::Forever, ErrorKind::Failed),
    ] {
        let sim = Sim::new(3);
        let home = home_on_sim(&sim);
        let batches = batches(0, 3, 300);
        let mut segment = segment_with(&home, 0, &batches[..1]);
        sim.fail_operation(0, Fault::ShortWrite, repeat);
        let error = segment
            .append(&batches[1], &[header(&batches[1])])
            .expect_err("a fault");
        assert_eq!(error.kind(), kind);
        assert_eq!(
            (segment.next_offset(), segment.files().end()),
            (offset(3), offset(3))
        );
        sim.heal();
        if repeat == Repeat::Once {
            append(&mut segment, &batches[1]);
            assert_eq!(walked(&home).end, offset(6));
        }
    }
}

#[test]
fn any_failure_of_a_seal_gives_the_segment_back_and_a_second_try_seals_it() {
    let batches = batches(0, 100, 100);
    for nth in 0.. {
        let sim = Sim::new(4);
        let home = home_on_sim(&sim);
        let mut segment = segment_with(&home, 0, &batches[..90]);
        segment.prepare(100).expect("room");
        sim.fail_operation(nth, Fault::Io, Repeat::Once);
        let Err(unsealed) = segment.seal(at_ms(7)) else {
            assert!(nth > 3, "a seal writes more than {nth} times");
            return;
        };
        let mut segment = unsealed.segment;
        for batch in &batches[90..] {
            append(&mut segment, batch);
        }
        let (files, facts) = segment.seal(at_ms(8)).expect("sealed");
        assert_eq!(facts.end, offset(300));
        let rebuilt = walked(&home);
        assert_eq!((rebuilt.bad.is_none(), rebuilt.end), (true, offset(300)));
        let indexes = files
            .read_all_indexes()
            .expect("readable")
            .expect("they fit");
        assert_eq!(
            indexes.1.last().map(|entry| entry.timestamp),
            Some(at_ms(1_099)),
            "{nth}"
        );
    }
}
