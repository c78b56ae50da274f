//! Parts that every page has: a table, a figure, a sentence.

use crate::markup::{Element, tag};

/// A paragraph.
pub fn sentence(text: impl ToString) -> Element {
    tag("p").text(text)
}

/// A table called `id`; the first column names the row. Where there is no row, `empty` is said instead.
pub fn grid(id: &str, caption: &str, columns: &[&str], rows: Vec<Vec<Element>>, empty: &str) -> Element {
    if rows.is_empty() {
        return sentence(empty);
    }
    let heads = columns.iter().map(|column| tag("th").with("scope", "col").text(column));
    let rows = rows.into_iter().map(|row| {
        tag("tr").children(row.into_iter().enumerate().map(|(place, cell)| {
            let data = if place == 0 { tag("th").with("scope", "row") } else { tag("td") };
            data.child(cell)
        }))
    });
    let table = tag("table")
        .child(tag("caption").text(caption))
        .child(tag("thead").child(tag("tr").children(heads)))
        .child(tag("tbody").children(rows));
    // Reachable by keyboard: a table may be wider than the screen.
    let scroll =
        tag("div").with("class", "scroll").with("id", id).with("role", "region").with("tabindex", "0");
    scroll.with("aria-label", format!("Table: {caption}")).child(table)
}

/// A picture with its words.
pub fn figure(picture: Element, caption: &str) -> Element {
    tag("figure").child(picture).child(tag("figcaption").text(caption))
}
