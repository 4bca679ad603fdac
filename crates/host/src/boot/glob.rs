//! fnmatch(3) without flags, as modules.alias uses it: `*`, `?` and `[a-z]`.

/// True if all of `text` matches `pattern`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on when a later character does not match: behind the last star, which then
    // swallows one character more.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        if let Some(length) = one(&pattern[p..], text[t]) {
            p += length;
            t += 1;
            continue;
        }
        let Some((star, swallowed)) = retry else { return false };
        retry = Some((star, swallowed + 1));
        (p, t) = (star, swallowed + 1);
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Length of the pattern element that matches `byte`, if the first one does.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => bracket(pattern, byte),
        literal => (literal == byte).then_some(1),
    }
}

/// Matches `[abc]`, `[a-z]` or `[!a]` at the start of `pattern`; an unclosed one is a literal `[`.
fn bracket(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = if negated { 2 } else { 1 };
    // A `]` in first place stands for itself.
    let close = (first + 1..pattern.len()).find(|i| pattern[*i] == b']');
    let Some(close) = close else { return (byte == b'[').then_some(1) };
    let mut members = &pattern[first..close];
    let mut found = false;
    while let Some((low, rest)) = members.split_first() {
        match rest {
            [b'-', high, further @ ..] => {
                found |= (*low..=*high).contains(&byte);
                members = further;
            }
            _ => {
                found |= *low == byte;
                members = rest;
            }
        }
    }
    (found != negated).then_some(close + 1)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_of_modules_alias_match_as_fnmatch_does() {
        let table = [
            ("virtio:d00000001v*", "virtio:d00000001v00001AF4", true),
            ("virtio:d00000001v*", "virtio:d00000002v00001AF4", false),
            (
                "pci:v00008086d0000100Esv*sd*bc*sc*i*",
                "pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00",
                true,
            ),
            (
                "pci:v*d*sv*sd*bc01sc06i01*",
                "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
                true,
            ),
            ("usb:v1F75p091[78]d*", "usb:v1F75p0917d0100", true),
            ("usb:v1F75p091[78]d*", "usb:v1F75p0919d0100", false),
            (
                "cpu:type:x86,ven*fam*mod*:feature:*00C0*",
                "cpu:type:x86,ven0000fam0006mod0006:feature:,0000,00C0,",
                true,
            ),
            ("acpi*:QEMU0002:*", "acpi:QEMU0002:", true),
            ("x[!a-c]z", "xdz", true),
            ("x[!a-c]z", "xbz", false),
            ("x[]z", "x[]z", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("", "a", false),
            ("a*b*c", "a-b-b-d", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
