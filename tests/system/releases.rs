//! Programs a release apart on real connections: an older and a later site take part in a whole study, and one with
//! which nothing is in common is told what to install.

use consilium_protocol::Rejection;
use consilium_protocol::admin::StudyState;

use crate::annotated::bytes;
use crate::consortium::{Consortium, study};
use crate::foreign_site::{ForeignSite, Heard};

/// What the release before this one says first.
const OLDER: &str = include_str!("../vectors/version_3/hello.hex");
/// What a later one may say: versions 4 to 9 and abilities that nobody here knows.
const LATER: &str = "00000000 0400 0900 ff*8 0700000000000000 'later 9'";
/// What one after that may say: versions 9 to 12.
const TOO_NEW: &str = "00000000 0900 0c00 00*8 0900000000000000 'later 100'";

#[test]
fn an_older_and_a_later_site_take_part_in_a_whole_study() {
    let consortium = Consortium::new();
    let mut serving = consortium.serve(None);
    let at = serving.address;
    let study = consortium.submit(at, &study(8, 2));
    let site = |name: &str, hello| {
        let (kit, hello) = (consortium.kit(name), bytes(hello));
        async move { ForeignSite::greet(at, &kit, hello).await.take_part().await }
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (older, later) = runtime.block_on(async { tokio::join!(site("north", OLDER), site("south", LATER)) });
    assert_eq!((older, later), ((3, 0), (4, 0)));
    consortium.wait_for(&mut serving, &study, StudyState::Finished);
}

#[test]
fn a_site_that_cannot_wait_or_be_understood_is_told_so() {
    let consortium = Consortium::new();
    let serving = consortium.serve(None);
    let told = |hello| {
        let (kit, hello) = (consortium.kit("north"), bytes(hello));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            match ForeignSite::greet(serving.address, &kit, hello).await.hear().await {
                Heard::Rejected { order: None, rejection } => rejection,
                other => panic!("{other:?}"),
            }
        })
    };
    // There is no study yet, and version 3 has no word for waiting.
    assert_eq!(told(OLDER), Rejection::NotInvited);
    let refused = told(TOO_NEW);
    assert_eq!(refused, Rejection::Version { ours: 4 });
    assert!(refused.to_string().contains("install a release that speaks version 4"), "{refused}");
}
