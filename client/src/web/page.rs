//! The hospital's page: now, decisions, what left, the data.

use consilium_web::markup::{Element, tag};
use consilium_web::{Page, Section, grid, sentence};

use super::checked::{CheckedData, FOLDS, HOLDOUT};
use super::{Said, Shown};
use crate::steward::{StatusView, StudyView, utc};

/// Lines of what left that are shown: the log has all.
const LATEST: usize = 20;
/// Bytes of a time as the log has it, up to its seconds.
const SECONDS: usize = 19;

/// Everything, what needs a person first.
pub(super) fn page(shown: &Shown) -> Page {
    let pending = shown.said.iter().flat_map(|said| &said.studies).filter(|study| is_pending(study)).count();
    let lead = match (&shown.said, shown.answers, pending) {
        (None, ..) => "The client has not answered yet.".to_owned(),
        (_, false, _) => "The client is busy and does not answer: what is shown is from before.".to_owned(),
        (_, true, 0) => "Nothing waits for a decision of this hospital.".to_owned(),
        (_, true, 1) => "One study waits for a decision of this hospital.".to_owned(),
        (_, true, many) => format!("{many} studies wait for a decision of this hospital."),
    };
    let section = |id, title, content| Section { id, title, content };
    let said = |draw: fn(&Said) -> Vec<Element>| {
        shown.said.as_ref().map_or_else(|| vec![sentence("The client has not answered yet.")], draw)
    };
    Page {
        title: format!("Consilium client of {}", shown.site),
        lead,
        sections: vec![
            section("now", "Now", said(now)),
            section("pending", "Waiting for a decision", said(waiting)),
            section("studies", "What was asked", said(asked)),
            section("left", "What left", left(shown)),
            section("data", "Data check", data(shown.checked.as_ref())),
        ],
    }
}

fn is_pending(study: &StudyView) -> bool {
    study.decision == "pending" && study.policy.is_some()
}

fn now(said: &Said) -> Vec<Element> {
    let StatusView { paused_since, within_hours, connected, study, order, .. } = &said.status;
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let paused = paused_since.map_or_else(|| "no".to_owned(), |since| format!("since {}", utc(since)));
    let facts = [
        ("Paused by people here", paused),
        ("Within the policy's hours", yes(*within_hours)),
        ("Connected to the coordinator", yes(*connected)),
        ("Study", study.map_or_else(|| "none".to_owned(), |study| study.digest().short())),
        ("Works on", order.clone().unwrap_or_else(|| "nothing".to_owned())),
    ];
    let rows = facts.into_iter().map(|(name, value)| vec![words(name), words(value)]).collect();
    vec![grid("now-table", "What the client does", &["what", "is so"], rows, "")]
}

fn waiting(said: &Said) -> Vec<Element> {
    let pending: Vec<&StudyView> = said.studies.iter().filter(|study| is_pending(study)).collect();
    if pending.is_empty() {
        return vec![sentence("Nothing waits.")];
    }
    let mut parts = vec![sentence(
        "A study waits for a person. Nothing of this hospital leaves for it before. Decide on this machine with a command:",
    )];
    for study in pending {
        let short = study.hash.digest().short();
        let name = study.name.as_deref().unwrap_or("a study");
        parts.push(tag("h3").text(name).text(" ").child(tag("code").text(&short)));
        parts.push(sentence(plan(study)));
        let approve = format!("consilium-client approve {short} --config client.toml");
        let decline = format!("consilium-client decline {short} --config client.toml");
        parts.push(tag("p").child(tag("code").text(approve)).text(" or ").child(tag("code").text(decline)));
    }
    parts
}

/// What a study is about, in one sentence.
fn plan(study: &StudyView) -> String {
    let list = |items: Vec<String>| items.join(", ");
    let arms = list(study.arms.iter().map(ToString::to_string).collect());
    let modalities = list(study.modalities.iter().map(ToString::to_string).collect());
    let rounds = study.rounds.map_or_else(|| "an unknown number of".to_owned(), |rounds| rounds.to_string());
    format!("Arms {arms}; modalities {modalities}; {rounds} rounds; {} sites.", study.sites.len())
}

fn asked(said: &Said) -> Vec<Element> {
    let row = |study: &StudyView| {
        let decision =
            tag("span").with("class", format!("state state-{}", study.decision)).text(&study.decision);
        let by = match study.decided_by.as_deref() {
            Some("hand") => "a person here",
            Some(_) => "the policy",
            None => "-",
        };
        let why = study.reason.clone().unwrap_or_else(|| study.policy_reasons.join("; "));
        vec![
            words(study.name.as_deref().unwrap_or("not offered yet")),
            tag("code").text(study.hash.digest().short()),
            words(plan(study)),
            words(study.first_offered.map_or_else(|| "-".to_owned(), utc)),
            decision,
            words(by),
            words(study.decided_at.map_or_else(|| "-".to_owned(), utc)),
            words(if why.is_empty() { "-" } else { &why }),
        ]
    };
    let columns = ["study", "hash", "plan", "first offered", "decision", "by", "decided", "why"];
    let rows = said.studies.iter().map(row).collect();
    vec![grid("studies-table", "Studies that were offered", &columns, rows, "No study was offered yet.")]
}

fn left(shown: &Shown) -> Vec<Element> {
    let sums = shown
        .ledger
        .sent
        .iter()
        .map(|(kind, tally)| vec![words(kind), words(tally.count), words(bytes(tally.bytes))]);
    let latest = shown.ledger.recent.iter().rev().take(LATEST).map(|left| {
        vec![
            words(left.at.get(..SECONDS).unwrap_or(&left.at).replace('T', " ")),
            words(left.content.kind()),
            words(bytes(left.bytes)),
            words(&left.to),
            tag("code").text(&left.digest),
            words(left.content.words()),
        ]
    });
    let source = format!(
        "From this hospital's audit log of {} lines, which `consilium-client audit verify` checks. It is written before \
         anything leaves.",
        shown.audit_lines
    );
    let (kinds, columns) =
        (["kind", "messages", "bytes"], ["when", "kind", "bytes", "to", "digest", "what the log says"]);
    let nothing = "Nothing has left yet.";
    vec![
        sentence(source),
        grid("left-kinds", "All that ever left, by kind", &kinds, sums.collect(), nothing),
        grid("left-latest", "The last that left, the newest first", &columns, latest.collect(), nothing),
    ]
}

fn data(checked: Option<&CheckedData>) -> Vec<Element> {
    let Some(checked) = checked else {
        return vec![sentence(
            "The headers of the scans are looked at once after the client's start; not done yet.",
        )];
    };
    let usable = checked.usable;
    let verdict = format!(
        "At {} the data were {} for a study of {FOLDS} folds that sets aside {:.0} %: {} scans, {} usable cases ({} methylated, {} unmethylated). Only headers were read; \
         `consilium-client check` reads every voxel and names what is wrong, for this hospital's eyes.",
        utc(checked.at),
        checked.verdict.name(),
        100.0 * HOLDOUT,
        checked.scans,
        usable.total(),
        usable.methylated,
        usable.unmethylated
    );
    let modalities =
        checked.modalities.iter().filter(|(_, usable)| usable.total() > 0).map(|(modality, usable)| {
            vec![words(modality), words(usable.methylated), words(usable.unmethylated)]
        });
    let problems = checked
        .problems
        .iter()
        .map(|(severity, title, count)| vec![words(title), words(severity.name()), words(count)]);
    let kinds = ["modality", "methylated", "unmethylated"];
    vec![
        sentence(verdict),
        grid("data-modalities", "Usable cases by modality", &kinds, modalities.collect(), "There is none."),
        grid(
            "data-problems",
            "What was found",
            &["problem", "how bad", "how often"],
            problems.collect(),
            "Nothing was found.",
        ),
    ]
}

fn bytes(count: u64) -> String {
    match count {
        0..=9_999 => count.to_string(),
        10_000..=9_999_999 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

fn words(text: impl ToString) -> Element {
    tag("span").text(text)
}
