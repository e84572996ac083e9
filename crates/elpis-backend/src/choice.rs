//! Enumerations whose values have names.

/// Declares an enumeration whose values have a name in settings, messages and labels.
#[doc(hidden)]
#[macro_export]
macro_rules! named_values {
    ($(#[$meta:meta])* pub enum $Name:ident { $($(#[$variant_meta:meta])* $Variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
            strum::Display, strum::IntoStaticStr, strum::VariantNames,
        )]
        pub enum $Name { $($(#[$variant_meta])* #[serde(rename = $text)] #[strum(to_string = $text)] $Variant,)+ }

        impl $Name {
            /// The names of all values, as the settings write them.
            pub const NAMES: &[&'static str] = <Self as strum::VariantNames>::VARIANTS;

            /// Returns the name that the settings use for this value.
            pub fn as_str(self) -> &'static str {
                self.into()
            }
        }
    };
}
