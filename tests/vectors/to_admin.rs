//! What admins and the coordinator say to each other, and how it looks.

use consilium_protocol::Features;
use consilium_protocol::admin::{
    AdminRefusal, AdminReply, AdminRequest, MAX_PAGE_BYTES, MAX_STUDY_BYTES, MAX_WEIGHTS_BYTES,
};
use consilium_transport::frame::encode;

use crate::annotated::bytes;
use crate::good::Vector;

/// The number of the request on the wire. A new request breaks this, as it should: it needs a vector.
pub(crate) const fn request_number(request: &AdminRequest) -> u32 {
    match request {
        AdminRequest::SubmitStudy { .. } => 0,
        AdminRequest::ListStudies => 1,
        AdminRequest::ShowStudy { .. } => 2,
        AdminRequest::PauseStudy { .. } => 3,
        AdminRequest::ResumeStudy { .. } => 4,
        AdminRequest::AbortStudy { .. } => 5,
        AdminRequest::Report { .. } => 6,
        AdminRequest::AddSite { .. } => 7,
        AdminRequest::ListSites => 8,
        AdminRequest::RevokeSite { .. } => 9,
        AdminRequest::RevokeCertificate { .. } => 10,
    }
}

/// The number of the reply on the wire.
pub(crate) const fn reply_number(reply: &AdminReply) -> u32 {
    match reply {
        AdminReply::Welcome { .. } => 0,
        AdminReply::Page { .. } => 1,
        AdminReply::Refused(_) => 2,
    }
}

pub(crate) fn requests() -> Vec<Vector<AdminRequest>> {
    let study = || "0a1b2c3d".to_owned();
    let north = || "north".parse().unwrap();
    let named = |number: &str| bytes(&format!("{number} 0800000000000000 '0a1b2c3d'"));
    let submit = AdminRequest::SubmitStudy { text: "seed".into(), weights: Some("m-50".into()) };
    let abort = AdminRequest::AbortStudy { study: study(), reason: "no".into() };
    let revoke = AdminRequest::RevokeSite { site: north(), reason: "no".into() };
    let certificate = AdminRequest::RevokeCertificate { serial: "0b".into(), reason: "no".into() };
    vec![
        Vector::new("submit", submit, bytes("00000000 0400000000000000 'seed' 01 0400000000000000 'm-50'")),
        Vector::new("list", AdminRequest::ListStudies, bytes("01000000")),
        Vector::new("show", AdminRequest::ShowStudy { study: study() }, named("02000000")),
        Vector::new("pause", AdminRequest::PauseStudy { study: study() }, named("03000000")),
        Vector::new("resume", AdminRequest::ResumeStudy { study: study() }, named("04000000")),
        Vector::new("abort", abort, [named("05000000"), bytes("0200000000000000 'no'")].concat()),
        Vector::new("report", AdminRequest::Report { study: study() }, named("06000000")),
        Vector::new(
            "add",
            AdminRequest::AddSite { site: north(), addresses: vec!["h:1".into()] },
            bytes("07000000 0500000000000000 'north' 0100000000000000 0300000000000000 'h:1'"),
        ),
        Vector::new("sites", AdminRequest::ListSites, bytes("08000000")),
        Vector::new("revoke", revoke, bytes("09000000 0500000000000000 'north' 0200000000000000 'no'")),
        Vector::new(
            "revoke-certificate",
            certificate,
            bytes("0a000000 0200000000000000 '0b' 0200000000000000 'no'"),
        ),
    ]
}

/// Every refusal and what follows its number.
fn refusals() -> [(AdminRefusal, &'static str); 11] {
    let long = AdminRefusal::TooLong { what: "f".into(), bytes: 258, limit: 257 };
    [
        (AdminRefusal::Version { ours: 4 }, "00000000 0400"),
        (AdminRefusal::OutOfTurn("a".into()), "01000000 0100000000000000 'a'"),
        (AdminRefusal::ReadOnly, "02000000"),
        (long, "03000000 0100000000000000 'f' 0201000000000000 0101000000000000"),
        (AdminRefusal::UnknownStudy("b".into()), "04000000 0100000000000000 'b'"),
        (AdminRefusal::AmbiguousStudy("c".into()), "05000000 0100000000000000 'c'"),
        (AdminRefusal::Study("d".into()), "06000000 0100000000000000 'd'"),
        (AdminRefusal::SameStudy("e".into()), "07000000 0100000000000000 'e'"),
        (AdminRefusal::State("f".into()), "08000000 0100000000000000 'f'"),
        (AdminRefusal::Site("g".into()), "09000000 0100000000000000 'g'"),
        (AdminRefusal::Failed("h".into()), "0a000000 0100000000000000 'h'"),
    ]
}

pub(crate) fn replies() -> Vec<Vector<AdminReply>> {
    let welcome = AdminReply::Welcome {
        version: 4,
        features: Features(0x0102),
        name: "alice".parse().unwrap(),
        may_change: true,
        software: "c 1".into(),
    };
    let notes = "00000000 0400 0201 00*6 0500000000000000 'alice' 01 0300000000000000 'c 1'";
    let page = AdminReply::Page { text: "{}".into(), last: true };
    let mut replies = vec![
        Vector::new("welcome", welcome, bytes(notes)),
        Vector::new("page", page, bytes("01000000 0200000000000000 '{}' 01")),
    ];
    for (refusal, notes) in refusals() {
        let name = refusal.code();
        replies.push(Vector::new(name, AdminReply::Refused(refusal), bytes(&format!("02000000 {notes}"))));
    }
    replies
}

#[test]
fn the_longest_requests_and_pages_fit_a_frame() {
    let text = "s".repeat(MAX_STUDY_BYTES);
    let submit = AdminRequest::SubmitStudy { text, weights: Some("w".repeat(MAX_WEIGHTS_BYTES)) };
    let page = AdminReply::Page { text: "p".repeat(MAX_PAGE_BYTES), last: false };
    assert_eq!(encode(&submit).unwrap().len(), 61_661);
    assert_eq!(encode(&page).unwrap().len(), 61_453);
}
