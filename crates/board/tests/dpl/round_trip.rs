// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
//! Writing a layout and reading it again gives the same layout.

use board::dpl::Loader;
use proptest::prelude::*;

use crate::{any, blob, clean, dtc, have_dtc};

proptest! {
    #[test]
    fn through_a_blob(dpl in any::layout()) {
        let loaded = Loader::new(&dtc).blob("x.dtb", &blob(&dpl.to_tree()));
        let loaded = loaded.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        prop_assert_eq!(loaded.into_dpl().unwrap(), dpl);
    }
}

#[test]
fn through_a_source() {
    if !have_dtc("through_a_source") {
        return;
    }
    // Each case starts a compiler.
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 40,
        ..ProptestConfig::default()
    });
    runner
        .run(&any::layout(), |dpl| {
            prop_assert_eq!(clean("x.dts", &dpl.to_string()), dpl);
            Ok(())
        })
        .unwrap();
}
