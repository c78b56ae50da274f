//! The report as text, as JSON and as a page.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use consilium_data::check::{JSON_SCHEMA, JSON_VERSION, Listing, Pass, render_json, render_text, write_page};
use serde_json::Value;

use crate::{broken_site, options};

#[test]
fn the_table_groups_and_shortens() {
    let report = broken_site().check(&options());
    let (short, all) = (render_text(&report, Listing::Short), render_text(&report, Listing::All));
    assert!(short.contains("--all lists them") && !all.contains("--all lists them"));
    assert!(short.lines().count() < all.lines().count());
    for text in [&short, &all] {
        assert!(text.contains("error: header is not one of a usable image (2"), "{text}");
        assert!(text.contains("exit code 1"), "{text}");
        assert!(text.lines().all(|line| line == line.trim_end()));
    }
}

#[test]
fn the_json_has_its_schema_and_every_problem() {
    let report = broken_site().check(&options());
    let json: Value = serde_json::from_str(&render_json(&report)).unwrap();
    assert_eq!(json["schema"], JSON_SCHEMA);
    assert_eq!(json["version"], JSON_VERSION);
    assert_eq!(json["names_patients"], true);
    assert_eq!(json["exit_code"], 1);
    let problems = json["problems"].as_array().unwrap();
    assert_eq!(problems.len(), report.problems.len());
    let nan = problems.iter().find(|problem| problem["kind"] == "not-finite").unwrap();
    assert_eq!((&nan["patient"], &nan["role"]), (&Value::from("nan-voxels"), &Value::from("t1gd")));
    assert!(nan["file"].as_str().unwrap().ends_with("nan-voxels-t1gd.nii.gz"));
    assert_eq!(json["folds"]["all"]["folds"].as_array().unwrap().len(), 5);
    assert_eq!(json["folds"]["all"]["exact"], true);
    let methylated = json["inventory"]["modalities"]["t1gd"]["found"]["methylated"].as_u64().unwrap();
    assert_eq!(methylated, report.cases.len() as u64 / 2);
}

#[test]
fn the_page_shows_every_case_asks_the_network_for_nothing_and_is_private() {
    let site = broken_site();
    let report = site.check(&options());
    let page = site.path().join("page.html");
    // A link or readable file in the way must not be written through.
    fs::write(site.path().join("page.html.unfinished"), "old").unwrap();
    let drawn = AtomicUsize::new(0);
    write_page(&report, &page, &|progress| {
        assert_eq!((progress.pass, progress.total), (Pass::Page, report.cases.len()));
        drawn.fetch_add(1, Ordering::Relaxed);
    })
    .unwrap();
    assert_eq!(drawn.into_inner(), report.cases.len());
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.find("do not send").unwrap() < html.find("<article>").unwrap());
    assert_eq!(html.matches("<article>").count(), report.cases.len());
    let images = html.matches("<img ").count();
    assert!(images >= 3 * 16 && images == html.matches("src=\"data:image/png;base64,").count());
    assert_eq!(images, html.matches(" alt=\"Patient ").count());
    for outside in ["http:", "https:", "<script", "<link", "url(", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
    let first_sound = html.find("<h2>Patient sound-").unwrap();
    assert!(html.find("<h2>Patient mirrored-mask,").unwrap() < first_sound, "problems first");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&page).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(!site.path().join("page.html.unfinished").exists());
    let error = write_page(&report, &site.path().join("absent/page.html"), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("absent/page.html: the page cannot be written"), "{error}");
}
