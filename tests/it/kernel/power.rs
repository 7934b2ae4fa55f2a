//! Power cuts: a filesystem on an image is shut down in the middle of appends, and what its medium has is opened.

use std::time::Duration;

use super::image::{Image, Kind, can_cut_power};
use super::workload::Workload;
use crate::battery::{Cases, effort, seeds};
use crate::driver::{Judge, Running, command, dump};

/// Rounds on one image: later ones recover what earlier cuts left.
const ROUNDS_AN_IMAGE: u64 = 5;

/// Promise 2: a power cut takes nothing that a policy had promised, and of the rest leaves a prefix without holes.
/// Promise 5: what an opening showed before the cut is there after it.
#[test]
fn a_power_cut_on_ext4_takes_nothing_that_was_promised() {
    check_power_cuts(Kind::Ext4, effort(2, 200));
}

/// Promise 2.
#[test]
fn a_power_cut_on_xfs_takes_nothing_that_was_promised() {
    check_power_cuts(Kind::Xfs, effort(1, 60));
}

fn check_power_cuts(kind: Kind, images: u64) {
    let test = "power cuts";
    if !can_cut_power(test) {
        return;
    }
    let cases = Cases::default();
    let mut lost = 0;
    for seed in seeds(images, images) {
        let Some(image) = Image::mount(kind, test) else {
            return;
        };
        lost += check_image(&image, seed, &cases);
    }
    println!("{kind:?}: {lost} records were taken that nobody had promised");
    cases.report(&format!("power cuts on {kind:?}"), 1);
}

/// How many acknowledged, not yet durable records the cuts took.
fn check_image(image: &Image, seed: u64, cases: &Cases) -> u64 {
    let dir = image.path().join("log");
    let mut judge = Judge::default();
    let mut lost = 0;
    for round in 0..ROUNDS_AN_IMAGE {
        let case = format!("SEED={seed} round {round}");
        let work = Workload::of(seed * ROUNDS_AN_IMAGE + round);
        judge.may_trim |= work.trims;
        let writer = Running::start(&mut command("write", &dir, &work.options(round)));
        std::thread::sleep(Duration::from_millis(work.millis));
        let before = writer.heard();
        image.shut_down();
        let said = writer.kill();
        judge.power_went(&before, work.acknowledges_durable());
        image.power_returns();
        let (found, status) = dump(&dir, "");
        judge.check(&case, &found, status, &said, u64::MAX);
        lost += said
            .acknowledged
            .keys()
            .filter(|o| !found.read.contains_key(o))
            .count() as u64;
        cases.count();
    }
    lost
}
