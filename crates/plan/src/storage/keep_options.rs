//! `preserve_always`, `preserve_reinstall`, `preserve_lazy`, `resize` and `always_format`: what a
//! disk_config says about things that exist already.

use super::source::{Span, Spanned};

/// What an option asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepKind {
    /// Keep it; it must exist.
    Always,
    /// Keep it unless this is the first installation; it must exist then.
    Reinstall,
    /// Keep it if it exists, make it otherwise.
    Lazy,
    /// Keep its content and give it another size.
    Resize,
    /// Format it even if it is kept.
    AlwaysFormat,
}

impl KeepKind {
    /// The name of the option, and what may stand behind a size.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "preserve_always",
            Self::Reinstall => "preserve_reinstall",
            Self::Lazy => "preserve_lazy",
            Self::Resize => "resize",
            Self::AlwaysFormat => "always_format",
        }
    }

    /// All of them.
    pub(super) const ALL: [Self; 5] =
        [Self::Always, Self::Reinstall, Self::Lazy, Self::Resize, Self::AlwaysFormat];
}

/// What stands behind a size; never [`KeepKind::AlwaysFormat`].
pub type SizeFlag = KeepKind;

/// Which ones an option is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which<T> {
    /// All that the stanza defines.
    All,
    /// These.
    Listed(Vec<T>),
}

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepOption<T> {
    /// What it asks for.
    pub kind: KeepKind,
    /// For what.
    pub which: Which<T>,
    /// Where it stands.
    pub at: Span,
}

/// All such options of a stanza, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepOptions<T>(pub Vec<KeepOption<T>>);

impl<T> Default for KeepOptions<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// What is asked of one thing that may exist, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Keep it.
    pub keep: Option<Keep>,
    /// Give it another size.
    pub resize: Option<Span>,
    /// Format it even if it is kept.
    pub always_format: bool,
}

/// How firmly something is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It must exist.
    Firmly(Span),
    /// If it exists.
    IfThere(Span),
}

impl<T: PartialEq> KeepOptions<T> {
    /// True if the option lists something, by itself or by `all`.
    fn named(&self, kind: KeepKind, id: &T) -> Option<Span> {
        let of_kind = self.0.iter().filter(|option| option.kind == kind);
        let mut fitting = of_kind.filter(|option| match &option.which {
            Which::All => true,
            Which::Listed(ids) => ids.contains(id),
        });
        fitting.next().map(|option| option.at)
    }

    /// What the options ask of `id`. Lists go before `all`, and the last list wins.
    pub(super) fn wish(&self, id: &T, is_first_install: bool) -> Wish {
        let keep_of = |option: &KeepOption<T>| match option.kind {
            KeepKind::Always => Some(Keep::Firmly(option.at)),
            KeepKind::Reinstall => (!is_first_install).then_some(Keep::Firmly(option.at)),
            KeepKind::Lazy => Some(Keep::IfThere(option.at)),
            KeepKind::Resize | KeepKind::AlwaysFormat => None,
        };
        let is_listed = |option: &&KeepOption<T>| match &option.which {
            Which::Listed(ids) => ids.contains(id),
            Which::All => false,
        };
        let listed = self.0.iter().filter(is_listed).filter_map(keep_of).last();
        let of_all = || {
            let all = self.0.iter().filter(|option| matches!(option.which, Which::All));
            let all: Vec<Keep> = all.filter_map(keep_of).collect();
            let firm = all.iter().find(|keep| matches!(keep, Keep::Firmly(_)));
            firm.or(all.first()).copied()
        };
        Wish {
            keep: listed.or_else(of_all),
            resize: self.named(KeepKind::Resize, id),
            always_format: self.named(KeepKind::AlwaysFormat, id).is_some(),
        }
    }

    /// Everything that is listed, and where.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&T, Span)> {
        self.0.iter().flat_map(|option| {
            let ids = match &option.which {
                Which::All => &[][..],
                Which::Listed(ids) => ids,
            };
            ids.iter().map(move |id| (id, option.at))
        })
    }

    /// True for `preserve_always:all`, or `preserve_reinstall:all` where it counts.
    pub(super) fn keeps_all(&self, is_first_install: bool) -> bool {
        self.0.iter().any(|option| {
            option.which == Which::All
                && match option.kind {
                    KeepKind::Always => true,
                    KeepKind::Reinstall => !is_first_install,
                    _ => false,
                }
        })
    }
}

impl Wish {
    /// Adds what stands behind a size.
    pub(super) fn with_flag(
        mut self,
        flag: Option<&Spanned<SizeFlag>>,
        is_first_install: bool,
    ) -> Self {
        let Some(flag) = flag else { return self };
        match flag.value {
            KeepKind::Always => self.keep = Some(Keep::Firmly(flag.at)),
            KeepKind::Reinstall if !is_first_install => self.keep = Some(Keep::Firmly(flag.at)),
            KeepKind::Lazy => self.keep = Some(Keep::IfThere(flag.at)),
            KeepKind::Resize => self.resize = Some(flag.at),
            KeepKind::Reinstall | KeepKind::AlwaysFormat => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(column: u32) -> Span {
        Span { line: 1, column, length: 1 }
    }

    fn options(list: &[(KeepKind, Option<&[u32]>)]) -> KeepOptions<u32> {
        let option = |(i, (kind, ids)): (usize, &(KeepKind, Option<&[u32]>))| KeepOption {
            kind: *kind,
            which: ids.map_or(Which::All, |ids| Which::Listed(ids.to_vec())),
            at: at(u32::try_from(i).unwrap()),
        };
        KeepOptions(list.iter().enumerate().map(option).collect())
    }

    #[test]
    fn lists_go_before_all_and_the_last_list_wins() {
        let both = options(&[
            (KeepKind::Lazy, None),
            (KeepKind::Always, Some(&[1, 2])),
            (KeepKind::Lazy, Some(&[2])),
        ]);
        assert_eq!(both.wish(&1, false).keep, Some(Keep::Firmly(at(1))));
        assert_eq!(both.wish(&2, false).keep, Some(Keep::IfThere(at(2))));
        assert_eq!(both.wish(&3, false).keep, Some(Keep::IfThere(at(0))));
        assert!(!both.keeps_all(false));
    }

    #[test]
    fn a_first_installation_keeps_nothing_by_preserve_reinstall() {
        let all = options(&[(KeepKind::Reinstall, None), (KeepKind::AlwaysFormat, Some(&[4]))]);
        assert_eq!(all.wish(&1, true), Wish::default());
        assert_eq!(all.wish(&1, false).keep, Some(Keep::Firmly(at(0))));
        assert!(all.keeps_all(false) && !all.keeps_all(true));
        assert!(all.wish(&4, true).always_format);
        let flag = Spanned::new(KeepKind::Reinstall, at(9));
        let none: KeepOptions<u32> = KeepOptions::default();
        assert_eq!(none.wish(&1, true).with_flag(Some(&flag), true), Wish::default());
        let kept = none.wish(&1, false).with_flag(Some(&flag), false);
        assert_eq!(kept.keep, Some(Keep::Firmly(at(9))));
    }
}
