//! What a program or a stranger's server printed, made fit to be shown.

/// Takes escape sequences (colours, titles, cursor movements) out and shows other control characters as `�`, so that
/// a line cannot do anything to a terminal. Characters that turn the writing direction go too. Tabs stay.
#[must_use]
pub fn neutralise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.trim_end_matches('\r').chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => match rest.next() {
                // CSI: parameters up to a final byte from @ to ~.
                Some('[') => {
                    let _ = rest.by_ref().find(|c| ('\x40'..='\x7e').contains(c));
                }
                // OSC, DCS, PM, APC: text up to BEL or ESC \.
                Some(']' | 'P' | '^' | '_' | 'X') => {
                    while let Some(c) = rest.next() {
                        if c == '\x07' {
                            break;
                        }
                        if c == '\x1b' {
                            let _ = rest.next_if_eq(&'\\');
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\t' => out.push('\t'),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
