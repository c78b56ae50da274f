//! Elements that can only be written well formed and escaped: the page is HTML for a browser and XML for a parser.
//!
//! No text reaches the page but through [`Element::text`] and [`Element::with`], which escape it.

use std::fmt::Write as _;

/// Elements of HTML that have no end tag.
const VOID: [&str; 5] = ["br", "meta", "col", "link", "input"];

/// An element with what is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Element(Element),
    Text(String),
    /// The style sheet, which HTML reads raw.
    Style(&'static str),
}

/// An empty element.
pub const fn tag(name: &'static str) -> Element {
    Element { name, attributes: Vec::new(), children: Vec::new() }
}

impl Element {
    /// With an attribute.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    /// With text after what is in it.
    pub fn text(mut self, text: impl ToString) -> Self {
        self.children.push(Node::Text(text.to_string()));
        self
    }

    /// With an element after what is in it.
    pub fn child(mut self, child: Self) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// With elements after what is in it.
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    /// With a style sheet of ours: it must not hold `<` or `&`, which the two readings differ about.
    pub fn style(mut self, sheet: &'static str) -> Self {
        self.children.push(Node::Style(sheet));
        self
    }

    /// The element as text.
    pub fn render(&self) -> String {
        let mut page = String::new();
        self.write(&mut page);
        page
    }

    fn write(&self, page: &mut String) {
        let _ = write!(page, "<{}", self.name);
        for (name, value) in &self.attributes {
            let _ = write!(page, " {name}=\"{}\"", escaped(value));
        }
        if VOID.contains(&self.name) {
            page.push_str("/>");
            return;
        }
        page.push('>');
        for child in &self.children {
            match child {
                Node::Element(element) => element.write(page),
                Node::Text(text) => page.push_str(&escaped(text)),
                Node::Style(sheet) => page.push_str(sheet),
            }
        }
        let _ = write!(page, "</{}>", self.name);
        if matches!(self.name, "p" | "tr" | "table" | "figure" | "section" | "h2" | "h3" | "li" | "svg") {
            page.push('\n');
        }
    }
}

/// `text` as it stands in a page: what has a meaning there is written out, what XML has no character for is left out.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            control if control.is_control() => {}
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the text, a parser finds one element with one attribute and that very text.
        #[test]
        fn any_text_stays_text(text in any::<String>(), value in any::<String>()) {
            let page = tag("p").with("title", &value).text(&text).render();
            let parsed = roxmltree::Document::parse(&page).unwrap();
            let root = parsed.root_element();
            prop_assert_eq!(parsed.descendants().filter(|node| node.is_element()).count(), 1);
            prop_assert_eq!(root.attributes().len(), 1);
            let kept = |text: &str| -> String {
                let kept = text.chars().map(|c| if matches!(c, '\n' | '\t') { ' ' } else { c });
                kept.filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')).collect()
            };
            prop_assert_eq!(root.attribute("title").unwrap(), kept(&value));
            prop_assert_eq!(root.text().unwrap_or_default(), kept(&text));
        }
    }

    #[test]
    fn empty_elements_are_closed_as_html_wants_them() {
        let page = tag("div").child(tag("br")).child(tag("p")).render();
        assert_eq!(page, "<div><br/><p></p>\n</div>");
    }
}
