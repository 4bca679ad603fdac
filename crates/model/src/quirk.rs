//! Where FAI does something else than its documentation says, and Hostwright does so only if it is
//! asked to (`--fai-bugs`), each time with a warning.

macro_rules! quirks {
    ($($(#[doc = $doc:literal])* $variant:ident = $id:literal,)*) => {
        /// What FAI does against its documentation; each has a stable name, the warning's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Quirk {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Quirk {
            /// All of them, with what FAI does, for the reference page and for tests.
            pub const ALL: &[(Quirk, &str)] = &[$((Quirk::$variant, concat!($($doc),*)),)*];

            /// The name in brackets behind `warning`.
            pub fn id(self) -> &'static str {
                match self {
                    $(Quirk::$variant => $id,)*
                }
            }
        }
    };
}

quirks! {
    /// Hooks, `.var` files, debconf, package lists, scripts and tests of a class that is named twice
    /// run twice; `fai-class` keeps both.
    ClassTwice = "class-twice",
    /// The output of a class script is joined to one line before comments are looked for: a comment
    /// at its beginning takes all classes along, the words of a later one become classes.
    JoinedComments = "joined-comments",
    /// A comment behind a class, in a file of classes, is more classes.
    ClassTrailingComment = "class-trailing-comment",
    /// The last line of `additional-classes` is lost if it has no line end.
    ClassLastLine = "class-last-line",
    /// `fcopy -r` copies nothing if the source itself has no directories.
    FcopyLeafSource = "fcopy-leaf-source",
    /// A word `name-` of package_config reaches into later groups of packages.
    StickyRemoval = "sticky-removal",
    /// `install_packages` looks for names only where apt's cache file is, whatever lists there are.
    PackageNameCache = "package-name-cache",
    /// `install_packages -l` shows the names of the last group only.
    LastGroupListed = "last-group-listed",
    /// Partitions of a PC partition table begin and end at cylinders as soon as something on the disk
    /// is kept.
    CylinderAlignment = "disk-config-cylinder-alignment",
    /// A partition that is to be kept is overwritten by an array, a volume group, a btrfs or an
    /// encrypted device that is made anew on it.
    KeptBelowRemade = "disk-config-keep-not-possible",
    /// Disk images are built in the locale C, from which packages conclude that nothing but ASCII is
    /// wanted.
    ImageLocale = "image-locale",
}
