#![no_main]

use libfuzzer_sys::fuzz_target;
use stratalog_fuzz::small_file::{SmallFile, run};

fuzz_target!(|data: &[u8]| run(SmallFile::TxnIndex, data));
