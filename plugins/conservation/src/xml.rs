//! Writing XML: elements in order, everything escaped, every character one that XML 1.0 has.

/// A document under construction.
#[derive(Debug, Default)]
pub struct Xml {
    text: String,
    open: Vec<&'static str>,
}

impl Xml {
    /// With its declaration.
    pub fn new() -> Xml {
        Xml { text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(), open: Vec::new() }
    }

    fn indent(&mut self) {
        self.text.extend(std::iter::repeat_n(' ', 2 * self.open.len()));
    }

    fn start(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.indent();
        self.text.push('<');
        self.text.push_str(name);
        for (name, value) in attributes {
            self.text.push(' ');
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(value, &mut self.text);
            self.text.push('"');
        }
        self.text.push('>');
    }

    /// An element with others in it.
    pub fn element(&mut self, name: &'static str, attributes: &[(&str, &str)], inner: impl FnOnce(&mut Xml)) {
        self.start(name, attributes);
        self.text.push('\n');
        self.open.push(name);
        inner(self);
        self.open.pop();
        self.indent();
        self.end(name);
    }

    /// An element with text.
    pub fn text(&mut self, name: &'static str, attributes: &[(&str, &str)], text: &str) {
        self.start(name, attributes);
        escape(text, &mut self.text);
        self.end(name);
    }

    fn end(&mut self, name: &str) {
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push_str(">\n");
    }

    /// The whole document.
    pub fn finish(self) -> String {
        self.text
    }
}

/// XML 1.0 §2.2 `Char`: what is none of them is shown as such.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_escaped_and_nothing_is_no_character() {
        let mut xml = Xml::new();
        xml.element("a", &[("b", "\"<\n")], |xml| xml.text("c", &[], "x & y\0\u{ffff}è<>"));
        let text = xml.finish();
        let expected = "<a b=\"&quot;&lt;&#10;\">\n  <c>x &amp; y\u{fffd}\u{fffd}è&lt;&gt;</c>\n</a>\n";
        assert_eq!(text.split_once('\n').map(|(_, rest)| rest), Some(expected));
    }
}
