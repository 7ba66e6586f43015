//! How counters are declared: once each, with name and meaning.

/// Declares an enum of what is counted: for each variant its name in tables and JSON, and its
/// meaning, a sentence.
macro_rules! counters {
    (
        $(#[doc = $what:literal])+ $Counted:ident:
        $($(#[doc = $about:literal])+ $variant:ident = $name:literal,)+
    ) => {
        $(#[doc = $what])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $Counted {
            $($(#[doc = $about])+ $variant,)+
        }

        impl $Counted {
            /// All of them, in the order in which tables show them.
            pub const ALL: &[$Counted] = &[$($Counted::$variant,)+];

            /// The name in tables and JSON, the same everywhere.
            pub fn name(self) -> &'static str {
                match self {
                    $($Counted::$variant => $name,)+
                }
            }

            /// What it counts, in a sentence.
            pub fn about(self) -> &'static str {
                match self {
                    $($Counted::$variant => concat!($($about),+).trim_ascii(),)+
                }
            }
        }
    };
}
