//! A writer that stands still, and a filesystem that does: readers go on, and so does the writer afterwards.

use std::process::Command;

use tempfile::TempDir;

use super::image::{Image, Kind, run};
use crate::battery;
use crate::driver::{Judge, Running, Said, command, dump};

const WORK: &str =
    "--policy interval:20 --secs 600 --pause-us 200 --segment-bytes 20000 --threads 2 --seed 1";

fn wait_for_more(writer: &Running, than: usize) -> Said {
    loop {
        let heard = writer.heard();
        if heard.acknowledged.len() > than {
            return heard;
        }
        std::thread::yield_now();
    }
}

fn signal(name: &str, writer: &Running) {
    let id = writer.id().to_string();
    run(Command::new("kill").args([name, &id])).expect("the signal is sent");
}

/// Promise 23.
#[test]
fn readers_of_another_process_go_on_while_the_writer_is_stopped() {
    let dir = TempDir::new().expect("a folder");
    let mut writer = Running::start(&mut command("write", dir.path(), WORK));
    for _ in 0..5 {
        let known = wait_for_more(&writer, writer.heard().acknowledged.len() + 200);
        signal("-STOP", &writer);
        let (found, status) = dump(dir.path(), "--read-only 1");
        assert!(status.success(), "{:?}", found.complaints);
        for (offset, origin) in &known.acknowledged {
            assert_eq!(found.read.get(offset), Some(origin), "offset {offset}");
        }
        signal("-CONT", &writer);
        let stopped_at = writer.heard().acknowledged.len();
        wait_for_more(&writer, stopped_at + 10);
    }
    assert!(writer.is_running());
    let said = writer.kill();
    let mut judge = Judge::default();
    judge.killed(&said);
    let (found, status) = dump(dir.path(), "");
    judge.check("stopped five times", &found, status, &said, 1);
}

/// Promise 23.
#[test]
fn readers_go_on_while_the_filesystem_is_frozen_and_the_writer_does_afterwards() {
    let test = "a frozen filesystem";
    let Some(image) = Image::mount(Kind::Ext4, test) else {
        return;
    };
    let dir = image.path().join("log");
    let mut writer = Running::start(&mut command("write", &dir, WORK));
    for _ in 0..3 {
        let known = wait_for_more(&writer, writer.heard().acknowledged.len() + 100);
        if let Err(why) = run(Command::new("fsfreeze").arg("-f").arg(image.path())) {
            battery::skip(test, &why);
            return;
        }
        let read = std::panic::catch_unwind(|| dump(&dir, "--read-only 1"));
        run(Command::new("fsfreeze").arg("-u").arg(image.path())).expect("thawed");
        let (found, status) = read.expect("read while frozen");
        assert!(status.success(), "{:?}", found.complaints);
        for (offset, origin) in &known.acknowledged {
            assert_eq!(found.read.get(offset), Some(origin), "offset {offset}");
        }
        let frozen_at = writer.heard().acknowledged.len();
        wait_for_more(&writer, frozen_at + 10);
    }
    assert!(writer.is_running());
    let said = writer.kill();
    let mut judge = Judge::default();
    judge.killed(&said);
    let (found, status) = dump(&dir, "");
    judge.check("frozen three times", &found, status, &said, 1);
}
