//! Text for LaTeX.

/// A text as LaTeX shows it, whatever it holds: names may come from a host.
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '|' => out.push_str("\\textbar{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '"' => out.push_str("\\textquotedbl{}"),
            'µ' => out.push_str("\\textmu{}"),
            '±' => out.push_str("$\\pm$"),
            '−' => out.push_str("$-$"),
            '×' => out.push_str("$\\times$"),
            '→' => out.push_str("$\\rightarrow$"),
            '▲' => out.push_str("$\\triangle$"),
            '·' => out.push_str("$\\cdot$"),
            '–' => out.push_str("--"),
            '…' => out.push_str("\\dots{}"),
            '\u{2009}' | '\u{202f}' => out.push_str("\\,"),
            c if c.is_ascii_graphic() || c == ' ' => out.push(c),
            c if c.is_alphabetic() => out.push(c),
            _ => out.push('?'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_is_a_command() {
        assert_eq!(
            escaped("a_b\\input{x} 5 % & 61.2 µs, ±1\n"),
            "a\\_b\\textbackslash{}input\\{x\\} 5 \\% \\& 61.2 \\textmu{}s, $\\pm$1?"
        );
    }
}
