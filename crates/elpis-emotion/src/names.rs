//! Names of the values of an enumeration, which serde writes too.

/// Gives an enumeration the list of its values, their names, and `Display`, which writes the name.
macro_rules! names {
    ($Type:ident { $($Variant:ident = $name:literal),+ $(,)? }) => {
        impl $Type {
            /// All values.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$Variant),+];

            /// The names of all values.
            pub const NAMES: &[&'static str] = &[$($name),+];

            /// Returns the name, in lower case.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }
        }

        impl std::fmt::Display for $Type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
